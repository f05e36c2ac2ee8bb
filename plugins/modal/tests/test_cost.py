"""The estimate: stated prices, one formula, checked against a simulation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankit_modal.cost import DAY_S, GPU_S, Traffic, container_price, estimate, keeps_itself_warm

traffics = st.builds(Traffic, st.floats(0, 1e6), st.floats(0.01, 10), st.floats(0, 300))
PRICE_S = container_price(GPU_S["L4"], 4096)


def test_warm_containers_cost_their_price_around_the_clock() -> None:
    """Two L4 for a day: 48 hours of $0.80 and a little for a core and memory."""
    day = estimate(Traffic(100, 1.0, 60.0), price_s=PRICE_S, warm=2, window_s=300)
    assert day.container_hours == pytest.approx(48)
    assert 48 * 0.80 < day.dollars < 48 * 0.85
    assert day.cold_starts == 0


def test_nothing_asked_nothing_paid() -> None:
    """Scaling to zero without traffic is free."""
    assert estimate(Traffic(0, 1.0, 60.0), price_s=PRICE_S, warm=0, window_s=300).dollars == 0


def test_the_formula_agrees_with_a_simulation() -> None:
    """Random arrivals over 400 days, a container that ends when its window passes without a request."""
    traffic, window = Traffic(200, 1.0, 60.0), 300.0
    chance, now, ends, paid, starts = random.Random(7), 0.0, -1.0, 0.0, 0
    days = 400
    while now < days * DAY_S:
        now += chance.expovariate(traffic.requests_a_day / DAY_S)
        if now > ends:
            starts += 1
            ready = now + traffic.cold_start_s
            paid += ready - now
            ends = ready
            now = ready
        ends, paid = now + traffic.seconds_a_request + window, paid + now + traffic.seconds_a_request + window - ends
    day = estimate(traffic, price_s=PRICE_S, warm=0, window_s=window)
    assert day.container_hours * 3600 == pytest.approx(paid / days, rel=0.05)
    assert day.cold_starts == pytest.approx(starts / days, rel=0.05)


@given(traffics, st.integers(1, 8), st.floats(2, 3600))
def test_scaling_to_zero_never_costs_more_than_warm_containers(traffic: Traffic, warm: int, window_s: float) -> None:
    """It may be slower, not dearer."""
    zero = estimate(traffic, price_s=PRICE_S, warm=0, window_s=window_s)
    kept = estimate(traffic, price_s=PRICE_S, warm=warm, window_s=window_s)
    assert zero.dollars <= kept.dollars * (1 + 1e-9)


@given(traffics, st.floats(2, 3600))
def test_the_break_even_is_where_a_container_is_nearly_always_up(traffic: Traffic, window_s: float) -> None:
    """At the break-even, scaling to zero pays 95 % of the day."""
    even = keeps_itself_warm(traffic, window_s=window_s)
    at = Traffic(even, traffic.seconds_a_request, traffic.cold_start_s)
    assert estimate(at, price_s=PRICE_S, warm=0, window_s=window_s).container_hours >= 24 * 0.95
