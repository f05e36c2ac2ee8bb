"""What a deployment costs, before anything is spent: stated prices, stated traffic, one formula.

Modal bills the seconds that containers exist, whether they work or wait. A container that may scale to zero lives
from a request's cold start until ``window`` seconds pass without another. For requests that arrive at random, ``rate``
a second (a Poisson process), such a life lasts ``cold_start + (exp(rate * window) - 1) / rate`` on average and the
pause after it ``1 / rate``; from these two follow the share of time that is paid and the number of cold starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "CPU_CORE_S",
    "GPU_S",
    "MEMORY_GIB_S",
    "PRICES_AS_OF",
    "Estimate",
    "Traffic",
    "estimate",
    "keeps_itself_warm",
]

PRICES_AS_OF = "2026-07-01"
"""The date of these list prices of https://modal.com/pricing, which was not read itself: they are as recorded in
https://github.com/api-evangelist/modal-labs. Regions, plans and credits change what is billed."""
GPU_S = {
    "none": 0.0,
    "T4": 0.000164,
    "L4": 0.000222,
    "A10": 0.000306,
    "L40S": 0.000542,
    "A100-40GB": 0.000583,
    "A100-80GB": 0.000694,
    "H100": 0.001097,
    "H200": 0.001261,
    "B200": 0.001736,
}
"""US dollars a GPU-second."""
CPU_CORE_S = 0.0000131
"""US dollars a second of a physical core; a container has at least an eighth of one."""
MEMORY_GIB_S = 0.00000222
_LEAST_CORES = 0.125
FRONT_MEMORY_MIB = 128
DAY_S = 86_400.0
DAYS_A_MONTH = 30
WARM_SHARE = 0.95
"""From this share of the day on, traffic alone keeps a container up."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests a day, and the seconds that one takes a container. Nobody can know the second before measuring."""

    requests_a_day: float
    seconds_a_request: float
    cold_start_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one day.

    Attributes:
        container_hours: hours of containers that are paid.
        dollars: what they cost.
        cold_starts: requests that wait for a container to start.
    """

    container_hours: float
    dollars: float
    cold_starts: float

    @property
    def dollars_a_month(self) -> float:
        return self.dollars * DAYS_A_MONTH


def container_price(gpu_s: float, memory_mib: int) -> float:
    """US dollars a second of one model container: GPU, least share of a core, memory."""
    return gpu_s + _LEAST_CORES * CPU_CORE_S + memory_mib / 1024 * MEMORY_GIB_S


def estimate(traffic: Traffic, *, price_s: float, warm: int, window_s: float) -> Estimate:
    """A day with ``warm`` containers always up, and the CPU front with them; 0 scales all to zero.

    Work beyond what the warm containers can do is paid as containers of its own.
    """
    work_s = traffic.requests_a_day * traffic.seconds_a_request
    if warm:
        seconds, cold_starts = max(warm * DAY_S, work_s), 0.0
        front = DAY_S * container_price(0.0, FRONT_MEMORY_MIB)
    else:
        share, cold_starts = _life(traffic, window_s)
        seconds, front = max(share * DAY_S, work_s), 0.0
    return Estimate(seconds / 3600, seconds * price_s + front, cold_starts)


def _life(traffic: Traffic, window_s: float) -> tuple[float, float]:
    """The share of the day that one container which may scale to zero is up, and its cold starts."""
    rate = traffic.requests_a_day / DAY_S
    if rate == 0:
        return 0.0, 0.0
    idle_s = window_s + traffic.seconds_a_request
    if rate * idle_s > 50:  # the exponential would be beyond a float, and the pause beyond a lifetime
        return 1.0, 0.0
    up_s = traffic.cold_start_s + math.expm1(rate * idle_s) / rate
    cycle_s = up_s + 1 / rate
    return up_s / cycle_s, DAY_S / cycle_s


def keeps_itself_warm(traffic: Traffic, *, window_s: float) -> float:
    """Requests a day from which scaling to zero saves next to nothing: the container is up anyway.

    Below it, warm containers are paid to avoid cold starts; above it, they cost no more than traffic does.
    """

    def share(requests_a_day: float) -> float:
        return _life(Traffic(requests_a_day, traffic.seconds_a_request, traffic.cold_start_s), window_s)[0]

    low, high = 0.0, 1.0
    while share(high) < WARM_SHARE:
        low, high = high, 2 * high
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle) >= WARM_SHARE else (middle, high)
    return high
