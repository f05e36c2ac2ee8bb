"""The page at ``/`` in real headless Chromium: by mouse, by keyboard, on a phone, and never beyond this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="pip install selenium")

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from rerankit.testing import FakeReranker
from rerankit_local_service.testing import Served, serving

pytestmark = pytest.mark.slow

FIRST = "Mars, known for its reddish appearance, is often referred to as the Red Planet."


@pytest.fixture
def page(browser: Any, served: Served) -> Any:
    """The page, open and ready."""
    return opened(browser, served.url)


def opened(browser: Any, url: str) -> Any:
    browser.get(url)
    until(browser, lambda: "ready" in text(browser, "state"))
    return browser


def until(browser: Any, condition: Callable[[], object]) -> None:
    # The page draws its list anew while it is looked at.
    redrawn = (StaleElementReferenceException, IndexError)
    WebDriverWait(browser, 10, ignored_exceptions=redrawn).until(lambda _: condition())


def text(browser: Any, name: str) -> str:
    found: str = browser.find_element(By.ID, name).text
    return found


def write(browser: Any, name: str, value: str) -> None:
    element = browser.find_element(By.ID, name)
    element.clear()
    element.send_keys(value)


def rerank(browser: Any) -> list[Any]:
    browser.find_element(By.ID, "go").click()
    until(browser, lambda: browser.find_element(By.ID, "results").is_displayed())
    until(browser, lambda: text(browser, "go") == "Rerank")
    found: list[Any] = browser.find_elements(By.CSS_SELECTOR, "#results li")
    return found


def test_the_order_the_scores_and_the_movement(page: Any) -> None:
    """What is there at first already shows it: the last document becomes the first."""
    results = rerank(page)
    assert results[0].find_element(By.CLASS_NAME, "text").text == FIRST
    moves = [result.find_element(By.CLASS_NAME, "move").get_attribute("aria-label") for result in results]
    assert moves[0] == "up 3, was 4"
    widths = [result.find_element(By.TAG_NAME, "i").size["width"] for result in results]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] > 0
    summary = text(page, "summary")
    for figure in ("4 documents in", "queue", "36 tokens", "none truncated", "short-sighted", "probability"):
        assert figure in summary


def test_truncation_is_shown(page: Any) -> None:
    """How much of a document the model read; a long one can be opened."""
    write(page, "documents", "red planet\n" + "long passage " * 40)
    results = rerank(page)
    assert "the model read 23 % of it" in results[1].text
    assert "1 truncated" in text(page, "summary")
    shut = results[1].size["height"]
    results[1].find_element(By.TAG_NAME, "summary").click()
    assert results[1].size["height"] > shut


def test_the_keyboard_is_enough(page: Any) -> None:
    """Tab from field to field; Ctrl + Enter reranks, from the text area too."""
    names = []
    for _ in range(6):
        ActionChains(page).send_keys(Keys.TAB).perform()
        names.append(page.switch_to.active_element.get_attribute("id"))
    assert names[1:] == ["query", "documents", "file", "model", "go"]
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.TAB * 3).key_up(Keys.SHIFT).perform()
    assert page.switch_to.active_element.get_attribute("id") == "documents"
    ActionChains(page).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    until(page, lambda: len(page.find_elements(By.CSS_SELECTOR, "#results li")) == 4)


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("a.jsonl", '{"text": "red planet"}\n"plain"\n{"content": "third\\nline"}\n', 3),
        ("a.json", '{"documents": ["one", {"page_content": "two"}]}', 2),
        ("a.txt", "first paragraph\nits second line\n\nsecond paragraph", 2),
    ],
)
def test_files_of_documents(page: Any, tmp_path: Path, name: str, content: str, count: int) -> None:
    """Chosen from the disk: JSONL, JSON, text."""
    (tmp_path / name).write_text(content)
    page.find_element(By.ID, "file").send_keys(str(tmp_path / name))
    until(page, lambda: text(page, "count") == f"{count} documents.")
    assert len(rerank(page)) == count


def test_a_model_that_was_dropped_is_shown_to_be_back(browser: Any, served: Served) -> None:
    """Its state is looked at again when it has answered."""
    assert served.http.delete("/models/mini").json()["unloaded"]
    browser.get(served.url)
    until(browser, lambda: text(browser, "state") == "mini unloaded")
    rerank(browser)
    until(browser, lambda: text(browser, "state") == "mini ready")


def test_a_dropped_file(page: Any) -> None:
    """Anywhere on the page."""
    page.execute_script(
        "const data = new DataTransfer(); data.items.add(new File(['one\\ntwo\\nthree'], 'a.txt'));"
        "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));"
    )
    until(page, lambda: text(page, "count") == "3 documents.")


def test_what_it_copies_runs(page: Any) -> None:
    """The curl line and the Python of what is on the screen give the same order, quotes and all."""
    documents = ["it's $HOME `here`", 'the "Red" planet \\ é 日本', "venus"]
    write(page, "query", "what's the red planet?")
    write(page, "documents", "\n".join(documents))
    rerank(page)
    page.find_element(By.CSS_SELECTOR, "[data-copies=curl]").click()
    until(page, lambda: page.find_element(By.CSS_SELECTOR, "[data-copies=curl]").text in ("Copied", "Selected"))
    curl = subprocess.run(text(page, "curl") + " -s", shell=True, capture_output=True, check=True, timeout=20)
    assert [found["index"] for found in json.loads(curl.stdout)["results"]] == [1, 0, 2]
    ran = subprocess.run(
        [sys.executable, "-c", text(page, "python")],
        capture_output=True,
        check=True,
        timeout=60,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "PATH": ""},
    )
    assert [line.split("  ", 1)[1] for line in ran.stdout.splitlines()] == [documents[1], documents[0], documents[2]]


def test_on_a_phone(page: Any) -> None:
    """Nothing is cut off at 360 pixels, and fingers find the buttons."""
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        write(page, "documents", "x" * 200 + "\nred planet")
        rerank(page)
        assert page.execute_script("return document.documentElement.scrollWidth") == 360
        for button in page.find_elements(By.TAG_NAME, "button"):
            assert button.size["height"] >= 44
        until(page, lambda: page.execute_script("return scrollY") > 100)
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_errors_are_told(page: Any) -> None:
    """Nothing to rank, and a refusal of the service."""
    write(page, "documents", " ")
    ActionChains(page).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    until(page, lambda: text(page, "problem") == "There are no documents.")
    page.execute_script("document.getElementById('documents').value = 'x\\n'.repeat(10001)")
    page.find_element(By.ID, "go").click()
    until(page, lambda: "send at most 10000" in text(page, "problem"))


def test_a_key_is_asked_for(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the service wants one."""
    monkeypatch.setenv("RERANKER_API_KEYS", "sesame")
    with serving() as locked:
        page = opened(browser, locked.url)
        until(page, lambda: page.find_element(By.ID, "key").is_displayed())
        page.find_element(By.ID, "key").send_keys("sesame", Keys.TAB)
        until(page, lambda: len(page.find_elements(By.TAG_NAME, "option")) == 1)
        assert len(rerank(page)) == 4
        assert "sesame" not in text(page, "curl")


def test_the_backend_can_be_chosen(browser: Any) -> None:
    """Of those that are served."""
    from rerankit_local_service.server.serving import ModelSpec

    backwards = ModelSpec("backwards", "x", lambda: FakeReranker(lambda query, text: 1 - len(text) / 1000))
    forwards = ModelSpec("forwards", "x", lambda: FakeReranker(lambda query, text: len(text) / 1000))
    with serving(backwards, forwards, self_test=False) as served:
        page = opened(browser, served.url)
        first = rerank(page)[0].text
        Select(page.find_element(By.ID, "model")).select_by_value("forwards")
        page.find_element(By.ID, "go").click()
        until(page, lambda: page.find_elements(By.CSS_SELECTOR, "#results li")[0].text != first)


def test_nothing_comes_from_elsewhere(browser: Any, served: Served) -> None:
    """The page and the API's documentation ask this service alone, and the browser finds no fault with either."""
    for kind in ("performance", "browser"):
        browser.get_log(kind)
    opened(browser, served.url)
    rerank(browser)
    browser.get(f"{served.url}/docs")
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".opblock"))
    asked = set(re.findall(r'"url":"([^"]+)"', "".join(entry["message"] for entry in browser.get_log("performance"))))
    assert {url for url in asked if not url.startswith((served.url, "data:", "chrome:", "about:"))} == set()
    assert any(url.endswith("/v1/score_pairs") for url in asked)
    assert browser.get_log("browser") == []
