"""What a ``BatchingReranker`` tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchingCounts", "BatchingFigures"]


@dataclass(frozen=True, slots=True)
class BatchingFigures:
    """What the queue and the batches look like now; the counts since the start only rise.

    Attributes:
        queued_requests, queued_documents, queued_tokens: what waits.
        running_batches: batches at the backend.
        batches, documents, tokens: what was sent to the backend.
        batch_fill: the mean share of the token budget that a batch used; ``None`` before the first.
        tokens_per_second: of all workers together, lately; ``None`` before the first batch.
        accepted, refused: requests let into the queue, and turned away as overload.
        dropped: requests whose caller had gone, or whose deadline had passed, before they were done.
        reruns: requests scored apart because the batch they shared had failed.
    """

    queued_requests: int
    queued_documents: int
    queued_tokens: int
    running_batches: int
    batches: int
    documents: int
    tokens: int
    batch_fill: float | None
    tokens_per_second: float | None
    accepted: int
    refused: int
    dropped: int
    reruns: int


@dataclass(slots=True)
class BatchingCounts:
    """What was counted since the start; see ``BatchingFigures``.

    ``fill`` is the sum over the batches, the speed is one worker's.
    """

    batches: int = 0
    documents: int = 0
    tokens: int = 0
    fill: float = 0.0
    tokens_per_second: float | None = None
    accepted: int = 0
    refused: int = 0
    dropped: int = 0
    reruns: int = 0

    def figures(self, *, requests: int, documents: int, tokens: int, running: int, workers: int) -> BatchingFigures:
        """With what waits, and the batches that run."""
        speed = self.tokens_per_second
        return BatchingFigures(
            queued_requests=requests,
            queued_documents=documents,
            queued_tokens=tokens,
            running_batches=running,
            batches=self.batches,
            documents=self.documents,
            tokens=self.tokens,
            batch_fill=self.fill / self.batches if self.batches else None,
            tokens_per_second=None if speed is None else speed * workers,
            accepted=self.accepted,
            refused=self.refused,
            dropped=self.dropped,
            reruns=self.reruns,
        )

    def add_batch(self, documents: int, tokens: int, seconds: float, budget: int) -> None:
        """Count a batch that was scored; of the speed, remember the lately usual one."""
        self.batches += 1
        self.documents += documents
        self.tokens += tokens
        self.fill += tokens / budget
        speed = tokens / max(seconds, 1e-6)
        known = self.tokens_per_second
        self.tokens_per_second = speed if known is None else 0.8 * known + 0.2 * speed
