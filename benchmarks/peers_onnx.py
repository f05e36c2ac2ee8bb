"""A model of ours as FlashRank wants it: ``peers_onnx.py MODEL_FOLDER``, in FlashRank's environment.

FlashRank takes its own models' names only, and looks for their files in a cache folder before it downloads any: the
same tokenizer, and weights as ONNX in float32, are put there under the name of one of them.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path

from peers_worker import FLASHRANK


def main() -> None:
    folder = Path(sys.argv[1])
    target = folder / FLASHRANK
    if target.exists():
        return
    import torch
    from flashrank.Config import model_file_map
    from transformers import AutoModelForSequenceClassification

    made = Path(f"{target}.part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, made)
    settings = json.loads((made / "tokenizer_config.json").read_text())
    marks = {name: settings[name] for name in ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")}
    (made / "special_tokens_map.json").write_text(json.dumps(marks))
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = {name: torch.ones(2, 9, dtype=torch.long) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every Python branch; peers.py compares the scores
        torch.onnx.export(
            model,
            kwargs=example,
            f=str(made / model_file_map[FLASHRANK]),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in names} | {"logits": {0: "rows"}},
            dynamo=False,
        )
    made.rename(target)


if __name__ == "__main__":
    main()
