"""The settings of a deployment come from RERANKIT_MODAL_*, and wrong ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankit.errors import InvalidArgumentError
from rerankit_modal.settings import DEFAULT_REVISION, read_settings


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_are_what_was_asked_for() -> None:
    """Two warm containers with an L4, the default model at its commit."""
    settings = read_settings()
    assert (settings.gpu, settings.min_containers, settings.timeout) == ("L4", 2, 1200)
    assert settings.pinned_revision == DEFAULT_REVISION
    settings.require_pinned()


def test_the_environment_goes_before_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both are read."""
    (tmp_path / ".env").write_text("RERANKIT_MODAL_GPU=T4\nRERANKIT_MODAL_MIN_CONTAINERS=0\n")
    monkeypatch.setenv("RERANKIT_MODAL_GPU", "A10")
    settings = read_settings()
    assert (settings.gpu, settings.min_containers) == ("A10", 0)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RERANKIT_MODAL_SCALEDOWN_WINDOW", "1", "RERANKIT_MODAL_SCALEDOWN_WINDOW.*greater than or equal to 2"),
        ("RERANKIT_MODAL_MAX_CONTAINERS", "1", "RERANKIT_MODAL_MAX_CONTAINERS is below RERANKIT_MODAL_MIN_CONTAINERS"),
        ("RERANKIT_MODAL_REVISION", "main", "RERANKIT_MODAL_REVISION.*40 digits of a commit"),
        ("RERANKIT_MODAL_APP_NAME", "my app", "RERANKIT_MODAL_APP_NAME"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    """By its variable."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidArgumentError, match=message):
        read_settings()


def test_another_model_of_the_hub_must_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name alone can come to mean other weights, and other code."""
    monkeypatch.setenv("RERANKIT_MODAL_MODEL", "jinaai/jina-reranker-v2-base-multilingual")
    with pytest.raises(InvalidArgumentError, match="needs its commit") as raised:
        read_settings().require_pinned()
    assert "huggingface.co/jinaai/jina-reranker-v2-base-multilingual/commits" in raised.value.remedy
    monkeypatch.setenv("RERANKIT_MODAL_REVISION", "0" * 40)
    read_settings().require_pinned()


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "~/nowhere"])
def test_a_folder_that_is_not_there_is_no_name_on_the_hub(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A slip in a path is told as one."""
    monkeypatch.setenv("RERANKIT_MODAL_MODEL", path)
    with pytest.raises(InvalidArgumentError, match=f"there is no folder '{path}'"):
        read_settings().require_pinned()


def test_a_local_folder_needs_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its files are what is deployed."""
    monkeypatch.setenv("RERANKIT_MODAL_MODEL", str(tmp_path))
    settings = read_settings()
    settings.require_pinned()
    assert settings.pinned_revision is None
