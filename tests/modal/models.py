"""Small real cross-encoders of random weights, made on the spot: no hub, no download."""

from __future__ import annotations

from pathlib import Path

TEXT = "a bear that eats bamboo snake what is panda the of and in scores query passage bad pair model"


def make_cross_encoder(folder: Path, *, seed: int) -> Path:
    """A BERT of 2 layers with one logit a pair, in the layout of the hub."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder.mkdir(parents=True)
    characters = [chr(code) for code in range(33, 127)]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *TEXT.split(),
        *characters,
        *(f"##{c}" for c in characters),
    ]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    (folder / "vocab.txt").unlink()  # tokenizer.json holds it
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        id2label={0: "relevance"},
        initializer_range=0.3,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
