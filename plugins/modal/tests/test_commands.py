"""``rerankit modal cost`` and what ``deploy`` refuses, without Modal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rerankit.cli import cli


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name, raising=False)


def test_cost_states_price_date_and_break_even() -> None:
    """Nothing is spent, and nothing is promised."""
    done = CliRunner().invoke(cli, ["modal", "cost", "--requests-per-day", "100"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    for text in ("list price of 2026-07-01", "2 kept warm", "scaling to zero", "break-even", "unmeasured"):
        assert text in said


def test_a_price_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """... for a GPU, region or plan whose price is not known here."""
    monkeypatch.setenv("RERANKIT_MODAL_GPU", "B300")
    refused = CliRunner().invoke(cli, ["modal", "cost"])
    assert refused.exit_code == 3
    assert "--gpu-price" in refused.output
    done = CliRunner().invoke(cli, ["modal", "cost", "--gpu-price", "3.60", "--json"])
    assert json.loads(done.stdout)["price_per_hour"] == pytest.approx(3.60, rel=0.05)


@pytest.mark.parametrize("amount", ["-1", "nan", "inf", "many"])
def test_only_amounts_are_traffic(amount: str) -> None:
    """What is no number of requests is refused, and the option named."""
    done = CliRunner().invoke(cli, ["modal", "cost", "--requests-per-day", amount])
    assert done.exit_code == 2
    assert "--requests-per-day" in done.output


def test_scaling_to_zero_is_one_row_where_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to compare it with."""
    monkeypatch.setenv("RERANKIT_MODAL_MIN_CONTAINERS", "0")
    done = CliRunner().invoke(cli, ["modal", "cost"])
    assert "scaling to zero" in done.output
    assert "kept warm" not in done.output


def test_deploying_without_a_token_says_how_to_get_one() -> None:
    """Before anything is built."""
    done = CliRunner().invoke(cli, ["modal", "deploy"])
    assert done.exit_code == 5
    assert "there is no Modal token" in done.output
    assert "modal token new" in done.output
