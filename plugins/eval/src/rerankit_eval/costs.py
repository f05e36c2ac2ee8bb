"""What 1,000 queries cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rerankit.errors import InvalidArgumentError
from rerankit_eval.latency import Latency

__all__ = ["Price", "pareto", "parse_prices"]

_PRICE = re.compile(r"(?P<label>.+)=(?P<amount>\d+(?:\.\d+)?)/(?P<unit>h|1k)")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars (or whatever the user counts in): of an hour of the machine, or of 1,000 queries."""

    amount: float
    per_hour: bool

    def of_1000_queries(self, latency: Latency) -> float:
        """By the mean warm latency, one query at a time: a machine that is paid by the hour and kept busy."""
        if not self.per_hour:
            return self.amount
        return self.amount / 3600 * 1000 * sum(latency.seconds) / len(latency.seconds)


def parse_prices(texts: Sequence[str], labels: Sequence[str]) -> dict[str, Price]:
    """``mini=0.04/h`` (an hour of its machine) or ``hosted=2/1k`` (1,000 queries), by label.

    Raises:
        InvalidArgumentError: something else, or a label that no service has.
    """
    prices = {}
    for text in texts:
        found = _PRICE.fullmatch(text)
        if not found or found["label"] not in labels:
            raise InvalidArgumentError(
                f"{text!r} is not the price of a service",
                remedy=f"write LABEL=AMOUNT/h or LABEL=AMOUNT/1k, where LABEL is one of: {', '.join(labels)}",
                value=text,
            )
        prices[found["label"]] = Price(float(found["amount"]), found["unit"] == "h")
    return prices


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether nothing beats a point of (what it costs, what it gives): no other is both no dearer and no worse."""
    return [
        not any((other[0] <= point[0] and other[1] >= point[1] and other != point) for other in points)
        for point in points
    ]
