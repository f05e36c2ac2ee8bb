"""``rerankit compare``: fair latencies, honest verdicts, and a report that is one file."""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rerankit import ScoreKind
from rerankit.cli import cli
from rerankit.errors import BackendError, InvalidArgumentError, UnavailableError
from rerankit_eval.comparison import Comparison
from rerankit_eval.contenders import INPUT_ORDER, Contender, parse_contenders
from rerankit_eval.costs import Price, pareto, parse_prices
from rerankit_eval.disagreement import disagreements
from rerankit_eval.formats import read_judged_set
from rerankit_eval.judged import Corpus, JudgedQuery, JudgedSet
from rerankit_eval.latency import Latency, measure_latency
from rerankit_eval.measures import parse_measures
from rerankit_eval.plots import Point, tradeoff
from rerankit_eval.quality import assess
from rerankit_eval.scoring import Scored, Source, score_all
from rerankit_eval.worker import Worker


def test_each_contender_is_timed_in_a_process_of_its_own_in_turns(folder: Path, words: Any) -> None:
    """The slow one is slower, cold is told apart from warm, and a broken one does not lose the others."""
    judged = read_judged_set(folder, run=folder / "made.run")
    contenders = parse_contenders(["words", "slow=words delay=0.05", "down=words model=broken"])
    found, failed = measure_latency(judged, contenders, queries=3, rounds=2)
    assert list(found) == ["words", "slow"]
    assert isinstance(failed["down"], UnavailableError)
    assert [len(calls) for calls in found["slow"].rounds] == [3, 3]
    assert found["slow"].documents == [18, 18, 18]
    assert found["slow"].cold_seconds > found["slow"].median >= 0.05 > found["words"].median
    assert found["words"].peak_bytes is None or 5e6 < found["words"].peak_bytes < 500e6


DYING = """
import os, rerankit
class Dying(rerankit.AbstractReranker):
    def get_scores(self, query, documents):
        os.kill(os.getpid(), 9)
@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec("dying", Dying)]
"""


def test_a_process_that_is_killed_is_told(folder: Path, words: Any) -> None:
    """As by the system, when memory runs out."""
    Path(words.log.parent, "site-packages", "acme_words.py").write_text(DYING)
    with pytest.raises(BackendError, match="ended with status -9"):
        Worker(Contender("dying", "dying"), "a question", ["a document"])


def test_figures_of_a_latency() -> None:
    """Median and p95 over all warm calls, the spread over the rounds' medians."""
    latency = Latency(1.0, [10, 10], rounds=[[0.1, 0.3], [0.2, 0.4]])
    assert (latency.median, latency.p95) == (0.25, 0.4)
    assert latency.spread == pytest.approx(0.4)
    assert latency.documents_per_second == pytest.approx(40.0)


def test_prices_by_the_hour_and_by_the_query() -> None:
    """An hour's price by the time a query takes."""
    prices = parse_prices(["a=3.6/h", "b c=2/1k"], ["a", "b c"])
    assert prices == {"a": Price(3.6, True), "b c": Price(2.0, False)}
    latency = Latency(1.0, [1], rounds=[[0.5], [1.5]])
    assert prices["a"].of_1000_queries(latency) == pytest.approx(1.0)
    assert prices["b c"].of_1000_queries(latency) == 2.0
    for wrong in ("a", "a=3", "nobody=3/h", "a=-1/h"):
        with pytest.raises(InvalidArgumentError, match="not the price"):
            parse_prices([wrong], ["a"])


def test_the_pareto_front_is_what_nothing_beats() -> None:
    """Cheaper or better than every other; equal points are both on it."""
    assert pareto([(1, 0.5), (2, 0.4), (3, 0.9), (1, 0.5), (3, 0.8)]) == [True, False, True, True, False]


def test_what_is_no_better_than_the_input_order_is_not_on_the_front() -> None:
    """It is the fastest of all, and yet not worth its time."""
    points = [Point("quick", 0.1, 0.3, 0.2, 0.4), Point("good", 0.5, 0.8, 0.7, 0.9)]
    drawn = tradeoff(points, x="seconds", y="nDCG@10", baseline=0.5)
    assert "good (Pareto front)" in drawn
    assert "quick (Pareto front)" not in drawn
    assert "quick (Pareto front)" in tradeoff(points, x="seconds", y="nDCG@10", baseline=0.2)
    assert "(Pareto front)" not in tradeoff(points, x="seconds", y="nDCG@10", baseline=0.9)


def test_disagreements_have_the_texts(folder: Path, words: Any) -> None:
    """First against last is the biggest; services that agree have none."""
    judged = read_judged_set(folder, run=folder / "made.run")
    one, other, same = (
        score_all(judged, contender, None)
        for contender in parse_contenders(["words", "bad=words falling=true", "same=words"])
    )
    found = disagreements(judged, [one, other], 3)
    assert len({disagreement.query for disagreement in found}) == len(found) == 3
    assert {1, 18} <= {rank for disagreement in found for rank in disagreement.ranks.values()}
    assert all(disagreement.text.endswith(".") for disagreement in found)
    assert disagreements(judged, [one, same], 3) == []


def report_of(folder: Path, *services: str, prices: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path]:
    """The JSON and the report of a small comparison."""
    html = folder.parent / "report.html"
    arguments = ["compare", str(folder), "--run", str(folder / "made.run"), "--html", str(html), "--json"]
    arguments += ["--store", str(folder.parent / "scores.db"), "--rounds", "2", "--timed-queries", "2"]
    arguments += [word for service in services for word in ("--service", service)]
    arguments += [word for price in prices for word in ("--price", price)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found, html


def test_a_comparison_from_end_to_end(folder: Path, words: Any) -> None:
    """Every figure side by side, and a verdict that follows from them."""
    found, html = report_of(folder, "words", "bad=words falling=true", prices=("words=0.5/h",))
    assert found["verdict"][0].startswith("words has the highest nDCG@10: 0.9")
    assert set(found["latency"]) == {"words", "bad"}
    assert set(found["cost_of_1000_queries"]) == {"words"}
    assert found["machine"]["cores"] >= 1
    text = html.read_text()
    for said in ("Quality against latency", "Quality against cost", "Scores of words", "disagree most", "Cold:"):
        assert said in text


class NoTexts(Corpus):
    """Verdicts need none."""

    def texts(self, query: JudgedQuery) -> list[str]:
        return [""] * len(query.candidates)


def compared(firsts: dict[str, int], seconds: dict[str, float]) -> list[str]:
    """The verdict on services that put the one relevant of three documents first in so many of 20 queries."""
    queries = [JudgedQuery(str(n), "", ("a", "b", "c"), {"b": 1}) for n in range(20)]
    scored = [
        Scored(
            Contender(label, None if label == INPUT_ORDER.label else label),
            {query.id: array("d", [0.5, float(n < count), 0.1]) for n, query in enumerate(queries)},
            Source(None, None, ScoreKind.UNKNOWN),
            *(None, 60, 0, True, 1.0),
        )
        for label, count in firsts.items()
    ]
    quality = assess(JudgedSet("made", "made", queries, NoTexts()), scored, parse_measures(["RR@10"], 1))
    latencies = {label: Latency(1.0, [3], rounds=[[value]]) for label, value in seconds.items()}
    return Comparison(quality, latencies, {}, [], {}, 1).verdict()


def test_the_verdict_does_not_flatter() -> None:
    """A lead that may be chance is called so, and what is worse than no reranking as well."""
    assert compared({"input order": 0, "good": 19, "quick": 18}, {"good": 0.4, "quick": 0.1}) == [
        "good has the highest RR@10: 0.967.",
        "Its lead over quick may be chance on 20 queries.",
        "Of these quick is the fastest: 4.0 times as fast as good.",
    ]
    assert compared({"input order": 20, "bad": 2, "same": 20}, {"bad": 0.1, "same": 0.1}) == [
        "input order has the highest RR@10: 1.000.",
        "Its lead over same may be chance on 20 queries.",
        "bad is worse than not reranking at all.",
    ]


def test_the_report_needs_nothing_else_and_runs_nothing(folder: Path, words: Any) -> None:
    """No script, no address; labels, queries and passages are text, whatever they hold."""
    queries = (folder / "queries.jsonl").read_text().replace("how do bees", "<script>alert(1)</script> bees")
    (folder / "queries.jsonl").write_text(queries)
    corpus = (folder / "corpus.jsonl").read_text().replace("Honey is", "<img src=x onerror=alert(2)> & honey is")
    (folder / "corpus.jsonl").write_text(corpus)
    _, html = report_of(folder, "<b>$x_1$</b>=words", "bad=words falling=true key=hunter2")
    text = html.read_text()
    assert not re.search(r"<script|<img src=x|<b>\$|hunter2|javascript:", text)
    addresses = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(.{5})", text)
    assert len(addresses) == 4  # the icon, the trade-off, and the scores of each
    assert set(addresses) == {"data:"}
    assert "&lt;script&gt;" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


@pytest.mark.slow
def test_the_report_opens_in_a_browser_without_errors(folder: Path, words: Any, tmp_path: Path) -> None:
    """Headless Chromium: no message in its console, every picture drawn, nothing wider than a phone's screen."""
    selenium = pytest.importorskip("selenium.webdriver")
    if not Path("/usr/bin/chromium").exists() or not Path("/usr/bin/chromedriver").exists():
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    _, html = report_of(folder, "words", "bad=words falling=true", "same=words model=other", prices=("words=1/h",))
    options = selenium.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
    ):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = selenium.ChromeService("/usr/bin/chromedriver")
    with selenium.Chrome(options=options, service=service) as browser:
        for width, mobile in ((390, True), (1100, False)):
            screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": mobile}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get(html.as_uri())
            drawn = browser.execute_script("return [...document.images].map(i => i.complete && i.naturalWidth > 0)")
            assert drawn == [True] * 5
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.title == "Rerankers on judged"
        assert len(browser.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 10_000
        assert browser.get_log("browser") == []
