"""A model that is ready to score: an engine, its tokenizer, and how it compares with the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rerankit_crossencoder.activation import sigmoid
from rerankit_crossencoder.batches import Budget, run_batches
from rerankit_crossencoder.engines.base import Engine
from rerankit_crossencoder.tokens import Sequences, Tokenizer

__all__ = ["Model", "Scores", "engine_logits"]

Scores = NDArray[np.float64]


@dataclass(slots=True)
class Model:
    """What instances with the same model share.

    Attributes:
        engine: runs it; ``tokenizer`` feeds it.
        budget: tokens in a batch; falls when memory runs out.
        revision: the commit, where the model is the hub's.
        activation: logits to scores in [0, 1].
        notes: what was chosen and why, for people.
    """

    engine: Engine
    tokenizer: Tokenizer
    budget: Budget
    revision: str | None = None
    activation: Callable[[NDArray[np.float32]], Scores] = sigmoid
    notes: dict[str, str] = field(default_factory=dict)


def engine_logits(
    engine: Engine,
    sequences: Sequences,
    budget: Budget,
    batch_size: int,
    run: Callable[..., NDArray[np.float32]] = lambda function, *arguments: function(*arguments),
    between: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float32]:
    """(sequences,): their logits, in batches; ``run`` and ``between`` as in ``run_batches``.

    Args:
        run: calls the engine: in the compute thread, where the caller is not in it.
    """

    def batch(indices: list[int]) -> NDArray[np.float32]:
        tokens = [sequences.token_ids[index] for index in indices]
        types = [sequences.type_ids[index] for index in indices]
        return run(engine.logits, tokens, types)

    lengths = [len(ids) for ids in sequences.token_ids]
    return run_batches(lengths, batch, budget, batch_size, start_tokens=engine.start_tokens, between=between)
