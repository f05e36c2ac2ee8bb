"""The control plane carries what modal's unmodified client and container entrypoint ask of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, TypeAlias

import modal
import modal.exception
import pytest

from .conftest import APPS, run
from .control_plane import LocalModal

Remote: TypeAlias = modal.Function[Any, Any, Any]


def function(client: modal.Client, name: str) -> Remote:
    return modal.Function.from_name("sample", name, client=client)


def method(client: modal.Client, name: str) -> Remote:
    cls, attribute = name.split(".")
    bound: Remote = getattr(modal.Cls.from_name("sample", cls, client=client)(), attribute)
    return bound


def test_two_containers_are_kept_warm(sample: str, local_modal: LocalModal, client: modal.Client) -> None:
    """``min_containers=2`` starts two processes before anybody calls."""
    deadline = time.monotonic() + 30
    while len(local_modal.containers(sample)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(local_modal.containers(sample)) == 2
    assert method(client, "Warm.where").remote()[0] == "first version"


async def test_twenty_inputs_share_containers(sample: str, client: modal.Client) -> None:
    """``@modal.concurrent`` inputs run at once: 20 of half a second take far less than ten."""
    crowd = method(client, "Warm.crowd")
    most = await asyncio.gather(*(crowd.remote.aio(0.5) for _ in range(20)))
    assert max(most) >= 5


def test_a_container_sees_only_what_its_image_declares(sample: str, client: modal.Client) -> None:
    """Packages, variables and home are the image's; nothing of the host's environment is there."""
    variables, packages = function(client, "environment").remote()
    assert variables["COLOUR"] == "dark blue"
    assert {"regex", "pip"} <= set(packages)
    assert not {"torch", "pytest", "rerankit", "numpy"} & set(packages)
    assert not {name for name in variables if name.startswith(("PYTEST", "PIP_", "MODAL_TOKEN"))}


def test_values_are_streamed(sample: str, client: modal.Client) -> None:
    """A generator's values arrive in order."""
    assert list(function(client, "count").remote_gen(5)) == [0, 1, 2, 3, 4]


def test_large_payloads_pass_through_blobs(sample: str, client: modal.Client) -> None:
    """3 MiB are above the limit of a message, both ways."""
    data = bytes(range(256)) * (3 << 12)
    assert function(client, "reverse").remote(data) == data[::-1]


def test_a_remote_exception_keeps_its_class_and_message(sample: str, client: modal.Client) -> None:
    """A known exception class comes back as itself."""
    with pytest.raises(ValueError, match="bad pair"):
        function(client, "fail").remote("bad pair")


def test_a_function_that_runs_too_long_times_out(sample: str, client: modal.Client) -> None:
    """The function's timeout ends its container, and the caller hears so."""
    with pytest.raises(modal.exception.FunctionTimeoutError, match="hit its timeout of 2s"):
        function(client, "sleep").remote(30)


def test_a_container_that_starts_too_slowly_times_out(sample: str, client: modal.Client) -> None:
    """The start-up timeout is told apart from the function's by its message."""
    with pytest.raises(modal.exception.FunctionTimeoutError, match="startup timeout of 1s"):
        method(client, "Sluggish.answer").remote()


def test_a_container_that_fails_to_load_says_why(sample: str, client: modal.Client) -> None:
    """What ``@modal.enter`` raised reaches the caller, and no container is started again and again."""
    with pytest.raises(FileNotFoundError, match="no weights"):
        method(client, "Unloadable.answer").remote()


def test_a_crash_in_mid_request_is_reported(sample: str, client: modal.Client) -> None:
    """A container that dies takes its inputs with it, not its callers."""
    with pytest.raises(modal.exception.RemoteError, match="exit code 7"):
        function(client, "crash").remote()


def test_a_container_beyond_its_memory_is_killed(sample: str, client: modal.Client) -> None:
    """The memory limit of a function is kept, by killing."""
    with pytest.raises(modal.exception.RemoteError, match=r"out of memory \(limit 256 MiB\)"):
        function(client, "devour").remote()


@pytest.mark.parametrize(("app", "name"), [("nowhere", "count"), ("sample", "nothing")])
def test_what_is_not_deployed_is_not_found(sample: str, client: modal.Client, app: str, name: str) -> None:
    """A missing app and a missing function are both ``NotFoundError``, and both named."""
    missing = app if app != "sample" else name
    with pytest.raises(modal.exception.NotFoundError, match=missing):
        modal.Function.from_name(app, name, client=client).hydrate()


def test_a_missing_class_is_not_found(sample: str, client: modal.Client) -> None:
    """Classes are looked up when their first method is called."""
    with pytest.raises(modal.exception.NotFoundError, match="Nothing"):
        modal.Cls.from_name("sample", "Nothing", client=client)().score.remote()


def test_a_wrong_token_is_refused(loopback: LocalModal, sample: str) -> None:
    """``from_credentials`` does not check; the first request does."""
    stranger = modal.Client.from_credentials("ak-wrong", "as-wrong")
    with pytest.raises(modal.exception.AuthError, match="Token validation failed"):
        function(stranger, "count").hydrate()
    stranger.close()


def test_without_a_token_the_cli_says_so(local_modal: LocalModal) -> None:
    """No token at all never reaches the server."""
    environment = {**local_modal.environment, "MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": ""}
    done = run(["modal", "app", "list"], environment, succeeds=False)
    assert done.returncode != 0
    assert "Token missing" in done.stderr


def test_redeploying_replaces_the_containers(
    sample: str, local_modal: LocalModal, client: modal.Client, tmp_path: Path
) -> None:
    """New code is served by new containers, under the handle that a caller already holds."""
    where = method(client, "Warm.where")
    before = where.remote()
    source = tmp_path / "sample.py"
    source.write_text((APPS / "sample.py").read_text().replace("first version", "second version"))
    run(["modal", "deploy", str(source)], local_modal.environment)
    after = where.remote()
    assert (before[0], after[0]) == ("first version", "second version")
    assert before[1] != after[1]
    run(["modal", "deploy", str(APPS / "sample.py")], local_modal.environment)


def test_the_script_can_be_run_without_deploying(local_modal: LocalModal) -> None:
    """``modal run`` makes an app for the length of its entrypoint."""
    done = run(["modal", "run", str(APPS / "sample.py")], local_modal.environment)
    assert "entrypoint heard: hello" in done.stdout
