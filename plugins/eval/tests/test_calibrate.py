"""``rerankit calibrate``: lower error on queries the map never saw, thresholds that keep their word, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rerankit import ScoreKind, load_reranker
from rerankit.cli import cli
from rerankit.errors import InputError, InvalidArgumentError
from rerankit.policy.calibration import Calibration, Isotonic, Platt
from rerankit_eval.calibration import Pairs, calibration_error, fit

COUNT = 4000


def drawn(seed: int = 0, *, bent: float = 1.0) -> tuple[Pairs, Any]:
    """Pairs whose true probability is known, with overconfident logits as scores."""
    dice = np.random.default_rng(seed)
    logits = dice.normal(-1.0, 1.5, COUNT)
    truth = 1 / (1 + np.exp(-np.sign(logits) * np.abs(logits) ** bent))
    return Pairs(3.0 * logits + 2.0, dice.random(COUNT) < truth, np.arange(COUNT) % 40), truth


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_truth_is_found_again(method: Any) -> None:
    """Scores three times too sure become the probabilities they were drawn with."""
    pairs, truth = drawn()
    found = fit(pairs, ScoreKind.LOGIT, method)
    assert found.error_before > 0.15
    assert found.error_after < 0.05
    assert found.brier_change.high < 0
    assert found.brier_change.mean == pytest.approx(found.brier_after - found.brier_before)  # as many pairs a query
    mapped = np.array([found.map.probability(score, ScoreKind.LOGIT) for score in pairs.scores])
    assert np.abs(mapped - truth).mean() < 0.02


def test_probabilities_are_mapped_by_their_log_odds() -> None:
    """The same scores behind a sigmoid give the same map."""
    pairs, _ = drawn()
    unit = Pairs(1 / (1 + np.exp(-pairs.scores)), pairs.relevant, pairs.groups)
    logit, probability = fit(pairs, ScoreKind.LOGIT, "platt").map, fit(unit, ScoreKind.PROBABILITY, "platt").map
    assert isinstance(logit, Platt)
    assert isinstance(probability, Platt)
    assert probability.slope == pytest.approx(logit.slope, rel=1e-3)


def test_platt_is_taken_unless_isotonic_is_clearly_better() -> None:
    """A sigmoid truth, and one that no sigmoid fits."""
    assert isinstance(fit(drawn()[0], ScoreKind.LOGIT).map, Platt)
    dice = np.random.default_rng(1)
    scores = dice.random(COUNT)
    steps = np.where(scores < 0.3, 0.02, np.where(scores < 0.6, 0.5, 0.55))
    pairs = Pairs(scores, dice.random(COUNT) < steps, np.arange(COUNT) % 40)
    assert isinstance(fit(pairs, ScoreKind.SIMILARITY).map, Isotonic)


def test_folds_hold_out_whole_queries() -> None:
    """Were documents of one query on both sides, a map that knows the query would look too good."""
    dice = np.random.default_rng(2)
    groups = np.arange(COUNT) // 100
    pairs = Pairs(groups + dice.random(COUNT), dice.random(COUNT) < (groups % 2) * 0.8 + 0.1, groups)
    assert fit(pairs, ScoreKind.LOGIT, "isotonic").error_after > 0.1


def test_falling_scores_are_refused() -> None:
    """There is no rising map for them."""
    pairs, _ = drawn()
    falling = Pairs(-pairs.scores, pairs.relevant, pairs.groups)
    with pytest.raises(InputError, match="do not rise with relevance"):
        fit(falling, ScoreKind.LOGIT, "platt")


def test_the_calibration_error_by_hand() -> None:
    """Half of each bin relevant where a probability of 0.9 was told: 0.4 off."""
    relevant = np.arange(100) % 2 == 0
    assert calibration_error(np.full(100, 0.9), relevant) == pytest.approx(0.4)
    assert calibration_error(np.full(100, 0.5), relevant) == pytest.approx(0.0)


def test_what_few_pairs_show_of_exact_probabilities_is_told() -> None:
    """Scores that are the very probabilities have an error that is not theirs, and no map betters them."""
    dice = np.random.default_rng(3)
    scores = dice.random(300)
    found = fit(Pairs(scores, dice.random(300) < scores, np.arange(300) % 20), ScoreKind.PROBABILITY)
    assert found.error_of_chance == pytest.approx(0.05, abs=0.02)
    assert found.error_before == pytest.approx(found.error_of_chance, abs=0.02)
    assert found.brier_change.high > 0
    many = fit(drawn()[0], ScoreKind.LOGIT)
    assert many.error_of_chance < 0.02


@pytest.mark.parametrize("wanted", [{"precision": 0.8}, {"recall": 0.9}])
def test_a_threshold_keeps_its_word_on_new_pairs(wanted: dict[str, float]) -> None:
    """Fitted on one draw, applied to another one."""
    pairs, _ = drawn(0)
    fresh, _ = drawn(1)
    found = fit(pairs, ScoreKind.LOGIT)
    threshold = found.threshold_for(**wanted)
    assert threshold is not None
    kept = np.array([found.map.probability(s, ScoreKind.LOGIT) for s in fresh.scores]) >= threshold.threshold
    precision = fresh.relevant[kept].mean()
    recall = fresh.relevant[kept].sum() / fresh.relevant.sum()
    assert threshold.precision == pytest.approx(precision, abs=0.04)
    assert threshold.recall == pytest.approx(recall, abs=0.04)
    name, share = next(iter(wanted.items()))
    assert {"precision": threshold.precision, "recall": threshold.recall}[name] >= share


def test_a_precision_that_nothing_reaches_has_no_threshold() -> None:
    """As where relevance has little to do with the score."""
    dice = np.random.default_rng(5)
    scores = dice.random(COUNT)
    pairs = Pairs(scores, dice.random(COUNT) < 0.2 + 0.2 * scores, np.arange(COUNT) % 40)
    found = fit(pairs, ScoreKind.PROBABILITY, "platt")
    found.pairs.relevant[np.argmax(found.held_out) % COUNT] = True  # that the highest one is relevant shows nothing
    assert found.threshold_for(precision=0.99) is None


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """60 queries with six candidates of 0 to 5 shared words, the more the likelier relevant."""
    dice = np.random.default_rng(0)
    path = tmp_path / "many.jsonl"
    with path.open("w") as file:
        for number in range(60):
            words = [f"{letter}{number}" for letter in "abcde"]
            candidates = [" ".join([*words[:shared], "filler"]) for shared in range(6)]
            relevant = {str(n): int(dice.random() < 0.02 + 0.08 * n) for n in range(6)}
            file.write(json.dumps({"query": " ".join(words), "candidates": candidates, "relevant": relevant}) + "\n")
    return path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


def test_from_judged_pairs_to_calibrated_scores(many: Path, words: Any, tmp_path: Path) -> None:
    """Fit, configure, rerank: scores are probabilities, and another model is refused."""
    output = tmp_path / "words.json"
    done = run(many, "--service", "words", "-o", output, "--store", tmp_path / "s.db", "--recall", "0.8")
    assert done.exit_code == 0, done.output
    assert "for a recall 0.8: context_threshold" in done.stdout
    calibration = Calibration.read(output)
    error = calibration.measured["expected_calibration_error"]
    assert error["after"] < error["before"] / 2
    assert (calibration.made_for.model, calibration.made_for.revision) == ("words", "1")
    calibrated = load_reranker("words", policy={"calibration": str(output)})
    ranking = calibrated.rerank("a0 b0 c0 d0 e0", ["a0 b0 c0 d0 e0 filler", "a0 filler"])
    assert ranking.score_kind is ScoreKind.CALIBRATED
    assert [found.score for found in ranking] == pytest.approx([0.42, 0.1], abs=0.08)
    with pytest.raises(InvalidArgumentError, match="made for model words, not other"):
        load_reranker("words", model="other", policy={"calibration": str(output)}).get_scores("a", ["a"])


def test_json_is_the_file(many: Path, words: Any, tmp_path: Path) -> None:
    """For programs that keep the figures."""
    output = tmp_path / "words.json"
    done = run(many, "--service", "words", "-o", output, "--store", tmp_path / "s.db", "--json")
    assert json.loads(done.stdout) == json.loads(output.read_text())


def test_too_few_judgements_are_refused(folder: Path, words: Any, tmp_path: Path) -> None:
    """With how many it takes."""
    done = run(folder, "--service", "words", "-o", tmp_path / "o.json", "--store", tmp_path / "s.db")
    assert done.exit_code == 2
    assert "too few to fit" in done.stderr
    assert not (tmp_path / "o.json").exists()


def test_a_precision_out_of_reach_is_told(many: Path, words: Any, tmp_path: Path) -> None:
    """Instead of a threshold that does not keep its word."""
    done = run(many, "-s", "words", "-o", tmp_path / "o.json", "--store", tmp_path / "s.db", "--precision", "0.999")
    assert done.exit_code == 2
    assert "no threshold reaches a precision of 0.999" in done.stderr
