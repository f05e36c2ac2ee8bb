"""What this distribution brings; imports nothing heavy."""

from __future__ import annotations

from rerankit import CommandSpec, hookimpl

__all__ = ["rerankit_commands"]


@hookimpl
def rerankit_commands() -> list[CommandSpec]:
    """``eval``, ``compare``, ``calibrate``, ``bench``."""
    return [
        CommandSpec("eval", "rerankit_eval.cli.evaluate:evaluate", "Measure the quality of services on judged data."),
        CommandSpec("compare", "rerankit_eval.cli.compare:compare", "Quality, latency, memory and cost, as a report."),
        CommandSpec("calibrate", "rerankit_eval.cli.calibrate:calibrate", "Turn scores into probabilities."),
        CommandSpec("bench", "rerankit_eval.cli.bench:bench", "Measure throughput and latency of one service."),
    ]
