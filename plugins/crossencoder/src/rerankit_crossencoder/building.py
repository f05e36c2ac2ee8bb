"""From arguments to a model: the first engine that can run it, compared with the reference before it may score."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerankit.errors import InvalidArgumentError
from rerankit_crossencoder.activation import is_plain, own_activation, sigmoid
from rerankit_crossencoder.agreement import PAIRS, compare
from rerankit_crossencoder.arguments import CrossEncoderArguments
from rerankit_crossencoder.batches import Budget
from rerankit_crossencoder.choice import UnsupportedModelError, candidates, precision_for
from rerankit_crossencoder.conversions import load_conversion, save_conversion
from rerankit_crossencoder.engines.base import Engine
from rerankit_crossencoder.loading import cached_revision, load_cross_encoder, loading_errors, resolve_device
from rerankit_crossencoder.memory import budget_for
from rerankit_crossencoder.model import Model, Scores, engine_logits
from rerankit_crossencoder.records import Records, config_of, records_of
from rerankit_crossencoder.templates import make_tokenizer
from rerankit_crossencoder.tokens import Tokenizer

__all__ = ["build_model"]

_CHECK_BATCH = 4

logger = logging.getLogger(__name__)


def build_model(arguments: CrossEncoderArguments) -> Model:
    """The model on the fastest engine that is valid for it, or on the one asked for; called in the compute thread.

    Raises:
        RerankitError: it cannot be loaded; see ``loading``.
        InvalidArgumentError: the engine that was asked for cannot run it, or not at that precision, or not on this
            machine.
    """
    with loading_errors(arguments):
        return _Builder(arguments).build()


class _Builder:
    """Tries engines in turn. The model is loaded in float32 once, and given up when an engine has its own copy."""

    def __init__(self, arguments: CrossEncoderArguments) -> None:
        self._arguments = arguments
        self._reference: Any = None

    def build(self) -> Model:
        # A converted model needs no torch; where it would be the choice, torch is not imported to look for a GPU.
        device = "cpu" if self._arguments.engine == "openvino" else resolve_device(self._arguments.device)
        reason = ""
        for name in candidates(self._arguments, config_of(self._arguments), device):
            try:
                precision, why = precision_for(self._arguments.dtype, name, device)
                model = self._on(name, precision, device)
            except UnsupportedModelError as error:
                reason = str(error)
                logger.info("%s: not on the %s engine: %s", self._arguments.model_name_or_path, name, reason)
                continue
            if model is None:
                return self._with_notes(self._on_reference("float32", device), "the reference, which it missed", device)
            return self._with_notes(model, why, device)
        raise InvalidArgumentError(
            f"the {self._arguments.engine} engine cannot run {self._arguments.model_name_or_path}: {reason}",
            remedy="set engine to 'auto' or 'reference'",
            value=self._arguments.engine,
        )

    def _on(self, name: str, precision: str, device: str) -> Model | None:
        """The model on an engine; ``None`` where its scores are not the reference's."""
        if name == "reference":
            return self._on_reference(precision, device)
        if name == "openvino":
            return self._on_openvino(precision)
        return self._on_packed(precision) if device == "cpu" else self._on_compiled(precision, device)

    def _on_reference(self, precision: str, device: str) -> Model:
        from rerankit_crossencoder.engines.reference import ReferenceEngine

        self._give_up()
        model = load_cross_encoder(self._arguments, precision, device)
        return self._finished(ReferenceEngine(model), make_tokenizer(model), _activation(model), device)

    def _on_compiled(self, precision: str, device: str) -> Model:
        from rerankit_crossencoder.engines.compiled import CompiledEngine

        model = load_cross_encoder(self._arguments, precision, device)
        return self._finished(CompiledEngine(model), make_tokenizer(model), _activation(model), device)

    def _on_packed(self, precision: str) -> Model | None:
        from rerankit_crossencoder.engines.packed import PackedEngine
        from rerankit_crossencoder.packed.weights import read_weights

        model = self._loaded()
        tokenizer, activation, weights = make_tokenizer(model), _activation(model), read_weights(model)
        records = records_of(self._arguments)
        known = records.read(f"packed-{precision}") if records else None
        expected = None if known else self._expected(tokenizer)
        del model
        self._give_up()  # before the engine lays its own copy out, so that memory holds little more than one
        result = self._finished(PackedEngine(weights, precision), tokenizer, activation, "cpu")
        return self._agreeing(result, records, known, expected)

    def _on_openvino(self, precision: str) -> Model | None:
        records = records_of(self._arguments)
        found = load_conversion(records, precision) if records else None
        if found is None:
            model = self._loaded()
            tokenizer, records = make_tokenizer(model), records_of(self._arguments)
            if records is None or not is_plain(model.activation_fn):
                raise UnsupportedModelError("conversion needs a model of known version and a plain activation")
            save_conversion(model, tokenizer, records, precision, self._expected(tokenizer))
            del model
            self._give_up()
            found = load_conversion(records, precision)
            assert found is not None
        assert records is not None
        engine, tokenizer, expected = found
        known = records.read(f"openvino-{precision}")
        return self._agreeing(self._finished(engine, tokenizer, sigmoid, "cpu"), records, known, expected)

    def _agreeing(
        self,
        model: Model,
        records: Records | None,
        known: dict[str, Any] | None,
        expected: NDArray[np.float32] | None,
    ) -> Model | None:
        """``model``, where it agrees with the reference: by an earlier comparison, else by one made now."""
        name, precision = model.engine.name, model.engine.precision
        if known is None:
            assert expected is not None
            agreement = compare(expected, _logits(model.engine, model.tokenizer), precision)
            known = {"ok": agreement.ok, "said": str(agreement)}
            if records is not None:
                records.write(f"{name}-{precision}", known)
        if not known["ok"]:
            logger.warning(
                "%s: the %s engine in %s does not give the reference's scores (%s); the reference engine is used",
                self._arguments.model_name_or_path,
                name,
                precision,
                known["said"],
            )
            return None
        model.notes["agreement"] = str(known["said"])
        return model

    def _expected(self, tokenizer: Tokenizer) -> NDArray[np.float32]:
        from rerankit_crossencoder.engines.reference import ReferenceEngine

        return _logits(ReferenceEngine(self._loaded()), tokenizer)

    def _loaded(self) -> Any:
        if self._reference is None:
            self._reference = load_cross_encoder(self._arguments, "float32", "cpu")
        return self._reference

    def _give_up(self) -> None:
        self._reference = None
        gc.collect()

    def _finished(
        self, engine: Engine, tokenizer: Tokenizer, activation: Callable[[NDArray[np.float32]], Scores], device: str
    ) -> Model:
        budget = budget_for(device, engine.token_bytes, engine.best_budget, self._arguments.token_budget)
        return Model(engine, tokenizer, Budget(budget), cached_revision(self._arguments), activation)

    def _with_notes(self, model: Model, why: str, device: str) -> Model:
        engine = model.engine
        model.notes = {
            "model": self._arguments.model_name_or_path,
            "engine": engine.name,
            "dtype": f"{engine.precision} ({why})",
            "device": device,
            "token_budget": str(model.budget.tokens),
            **model.notes,
        }
        logger.info("%s", ", ".join(f"{name}: {value}" for name, value in model.notes.items()))
        return model


def _logits(engine: Engine, tokenizer: Tokenizer) -> NDArray[np.float32]:
    return engine_logits(engine, tokenizer.sequences(PAIRS, "truncate"), Budget(1024), _CHECK_BATCH)


def _activation(model: Any) -> Callable[[NDArray[np.float32]], Scores]:
    return sigmoid if is_plain(model.activation_fn) else own_activation(model.activation_fn)
