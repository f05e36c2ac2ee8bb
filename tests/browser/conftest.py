"""A real headless Chromium; where there is none, the tests are skipped and say so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from rerankit import ScoreBatch, ScoreRequest
from rerankit.testing import FakeReranker
from rerankit_local_service.testing import Served, serving

# Without these Chromium looks for its maker's servers at every start.
OFFLINE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
READS = 120


class ShortSighted(FakeReranker):
    """Counts shared words, and reads only so many characters."""

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """With coverage and tokens."""
        batch = super().score_pairs(request)
        coverage = [min(1.0, READS / max(1, len(text))) for _, text in request.pairs]
        return ScoreBatch(batch.scores, coverage=coverage, tokens=[9] * len(coverage), model="short-sighted")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A service to look at."""
    with serving(ShortSighted) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Chromium, driven by its own driver."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("there is no Chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*OFFLINE, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()
