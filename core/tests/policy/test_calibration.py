"""A calibration keeps the order, stays in [0, 1], and is never applied to a model it was not made for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankit.errors import ConfigFileError, InvalidArgumentError, UnavailableError
from rerankit.policy.calibration import CalibratedReranker, Calibration, Isotonic, MadeFor, Platt
from rerankit.policy.compose import apply_policy
from rerankit.policy.settings import PolicySettings
from rerankit.scoring import ScoreKind
from rerankit.testing import FakeReranker

FAKE = {"service": "FakeReranker", "model": "fake", "revision": None, "score_kind": "probability"}
PLATT = {"method": "platt", "slope": 0.5, "offset": -1.0}
ISOTONIC = {"method": "isotonic", "scores": [0.2, 0.4, 0.9], "probabilities": [0.05, 0.25, 0.75]}


def written(path: Path, made_for: dict[str, Any] = FAKE, map: dict[str, Any] = PLATT) -> Path:
    path.write_text(json.dumps({"format": "rerankit-calibration/1", "made_for": made_for, "map": map}))
    return path


def policy(**settings: object) -> PolicySettings:
    return PolicySettings.model_validate(settings)


@given(st.lists(st.floats(0.0, 1.0), min_size=2), st.floats(0.01, 20.0), st.floats(-10.0, 10.0))
def test_platt_never_swaps_two_probabilities(scores: list[float], slope: float, offset: float) -> None:
    """Also at 0 and 1, where log odds are infinite."""
    mapped = [Platt(slope=slope, offset=offset).probability(s, ScoreKind.PROBABILITY) for s in sorted(scores)]
    assert mapped == sorted(mapped)
    assert all(0.0 <= p <= 1.0 for p in mapped)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_platt_takes_any_logit(score: float) -> None:
    """Nothing overflows."""
    assert 0.0 <= Platt(slope=1.0, offset=0.0).probability(score, ScoreKind.LOGIT) <= 1.0


def test_platt_is_the_formula() -> None:
    """A logit as it is; a probability by its log odds, so that slope 1 and offset 0 change nothing."""
    assert Platt(slope=2.0, offset=1.0).probability(0.3, ScoreKind.LOGIT) == pytest.approx(1 / (1 + math.exp(-1.6)))
    assert Platt(slope=1.0, offset=0.0).probability(0.3, ScoreKind.PROBABILITY) == pytest.approx(0.3)


@given(st.lists(st.floats(-5.0, 5.0), min_size=2))
def test_isotonic_never_swaps_two_scores(scores: list[float]) -> None:
    """Between knots and beyond them."""
    knots = Isotonic(scores=(-1.0, 0.0, 2.0), probabilities=(0.0, 0.5, 0.9))
    mapped = [knots.probability(score, ScoreKind.LOGIT) for score in sorted(scores)]
    assert mapped == sorted(mapped)
    assert all(0.0 <= p <= 0.9 for p in mapped)


def test_isotonic_draws_straight_lines_between_its_knots() -> None:
    """And stays at the outermost probabilities beyond them."""
    knots = Isotonic.model_validate(ISOTONIC)
    assert [knots.probability(s, ScoreKind.PROBABILITY) for s in (0.0, 0.2, 0.3, 0.4, 0.65, 1.0)] == pytest.approx(
        [0.05, 0.05, 0.15, 0.25, 0.5, 0.75]
    )


def test_scores_become_calibrated_and_the_ranking_says_so(tmp_path: Path) -> None:
    """The configured policy: order kept, kind told, the model still named."""
    settings = policy(calibration=str(written(tmp_path / "c.json", map=ISOTONIC)))
    reranker = apply_policy(FakeReranker(), settings, build=lambda name, args: FakeReranker())
    ranking = reranker.rerank("one two", ["none", "one", "two one"])
    assert [r.index for r in ranking] == [2, 1, 0]
    assert [r.score for r in ranking] == pytest.approx([0.75, 0.35, 0.05])
    assert (ranking.score_kind, ranking.model) == (ScoreKind.CALIBRATED, "fake")
    assert reranker.capabilities.score_kind is ScoreKind.CALIBRATED


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "other"}, "model other, not fake"),
        ({"revision": "abc"}, "revision abc, not unnamed"),
        ({"score_kind": "logit"}, "score_kind logit, not probability"),
        ({"model": None, "service": "other"}, "service other, not FakeReranker"),
    ],
)
def test_a_calibration_of_something_else_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    """Another model, another revision, another kind of score."""
    calibration = Calibration.read(written(tmp_path / "c.json", FAKE | changed))
    with pytest.raises(InvalidArgumentError, match=said):
        CalibratedReranker(FakeReranker(), [calibration]).get_scores("a", ["a"])


def test_the_service_may_change_as_long_as_the_model_does_not(tmp_path: Path) -> None:
    """The same model in process and behind a service has the same scores."""
    calibration = Calibration.read(written(tmp_path / "c.json", FAKE | {"service": "elsewhere"}))
    assert CalibratedReranker(FakeReranker(), [calibration]).rerank("a", ["a"]).score_kind is ScoreKind.CALIBRATED


def test_of_several_calibrations_the_one_made_for_the_model_is_applied(tmp_path: Path) -> None:
    """As for a service whose model was changed lately."""
    other = Calibration.read(written(tmp_path / "other.json", FAKE | {"model": "other"}, PLATT))
    mine = Calibration.read(written(tmp_path / "mine.json", FAKE, ISOTONIC))
    assert CalibratedReranker(FakeReranker(), [other, mine]).get_scores("a", ["a"]) == [0.75]


def test_a_fallback_without_a_calibration_keeps_the_meaning_of_its_scores(tmp_path: Path) -> None:
    """``rerank`` says ``probability``; ``get_scores``, which cannot say it, raises the first service's error."""

    def chain(*files: Path) -> Any:
        down = FakeReranker(faults=[UnavailableError("down")] * 4)
        down.service = "first"
        second = FakeReranker()
        second.service = "second"
        settings = policy(calibration=files, fallback=["second"])
        return apply_policy(down, settings, build=lambda name, args: second)

    first = written(tmp_path / "first.json", FAKE | {"service": "first"})
    second = written(tmp_path / "second.json", FAKE | {"service": "second"}, ISOTONIC)
    ranking = chain(first).rerank("a", ["a"])
    assert (ranking.degraded, ranking.score_kind) == (True, ScoreKind.PROBABILITY)
    with pytest.raises(UnavailableError):
        chain(first).get_scores("a", ["a"])
    assert chain(first, second).get_scores("a", ["a"]) == [0.75]


def test_the_cache_keeps_what_the_model_said(tmp_path: Path) -> None:
    """A new calibration is applied to scores kept under the one before."""
    backend = FakeReranker(fingerprint="fake@1")
    scores = []
    for map in (PLATT, ISOTONIC):
        file = written(tmp_path / "c.json", map=map)
        settings = policy(calibration=[file], cache_path=tmp_path / "scores.db", cache_path_bytes="1MiB")
        scores += apply_policy(backend, settings, build=lambda name, args: backend).get_scores("a b", ["a"])
    assert scores[0] != scores[1]
    assert len(backend.requests) == 1


def test_fingerprints_tell_calibrations_apart(tmp_path: Path) -> None:
    """A service behind a calibration gives other scores than the bare one."""
    one, two = (Calibration.read(written(tmp_path / "c.json", map=map)) for map in (PLATT, ISOTONIC))
    backend = FakeReranker(fingerprint="fake@1")
    prints = {CalibratedReranker(backend, [c]).fingerprint for c in (one, two)}
    assert len(prints | {backend.fingerprint, None}) == 4
    assert CalibratedReranker(FakeReranker(), [one]).fingerprint is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "Invalid JSON"),
        ('{"format": "rerankit-calibration/2"}', "format"),
        (json.dumps({"made_for": FAKE, "map": PLATT | {"slope": -1}}), "slope"),
        (json.dumps({"made_for": FAKE, "map": ISOTONIC | {"probabilities": [0.3, 0.2, 0.1]}}), "must both rise"),
        (json.dumps({"made_for": FAKE, "map": ISOTONIC | {"probabilities": [0.3]}}), "as many"),
        (json.dumps({"made_for": FAKE, "map": ISOTONIC | {"probabilities": [0.1, 0.2, 1.1]}}), "probabilities"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """Absent, malformed, of another version, falling instead of rising."""
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigFileError, match=said) as caught:
        Calibration.read(path)
    assert "rerankit calibrate" in caught.value.remedy


def test_what_is_read_is_what_was_written() -> None:
    """The file is the model's own JSON."""
    calibration = Calibration(
        made_for=MadeFor(service="s", model="m", revision=None, score_kind=ScoreKind.LOGIT),
        map=Platt(slope=1.5, offset=0.25),
        measured={"pairs": 7},
    )
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration
