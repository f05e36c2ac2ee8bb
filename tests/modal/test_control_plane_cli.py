"""The commands that modal's CLI offers to look after a deployment work against the control plane."""

from __future__ import annotations

import json

import pytest

from .conftest import run
from .control_plane import LocalModal


def test_app_list_and_info_describe_the_deployment(sample: str, local_modal: LocalModal) -> None:
    """Name, state and functions are what was deployed."""
    listed = json.loads(run(["modal", "app", "list", "--json"], local_modal.environment).stdout)
    assert "deployed" in [app["state"] for app in listed if app["description"] == sample]
    info = json.loads(run(["modal", "app", "info", sample, "--json"], local_modal.environment).stdout)
    assert info["lifecycle"]["state"] == "deployed"
    assert {"Warm.*", "count", "environment"} <= set(info["functions"])


def test_app_history_counts_deployments(sample: str, local_modal: LocalModal) -> None:
    """Each deployment is a version."""
    assert "v1" in run(["modal", "app", "history", sample], local_modal.environment).stdout


def test_app_logs_show_what_containers_printed(sample: str, local_modal: LocalModal) -> None:
    """A traceback of a container is in the app's logs."""
    import modal

    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_modal.environment.items():
            patch.setenv(name, value)
        client = modal.Client.from_credentials(*_token(local_modal))
    with pytest.raises(ValueError, match="for the log"):
        modal.Function.from_name(sample, "fail", client=client).remote("for the log")
    client.close()
    assert "for the log" in run(["modal", "app", "logs", sample], local_modal.environment).stdout


def test_stats_and_containers_are_counted(sample: str, local_modal: LocalModal) -> None:
    """Calls, failures and containers are counted a function."""
    stats = json.loads(run(["modal", "app", "stats", sample, "--json"], local_modal.environment).stdout)
    assert stats["functions"]["by_name"]["Warm.*"]["counts"]["containers"]["total"] >= 2
    containers = json.loads(run(["modal", "container", "list", "--json"], local_modal.environment).stdout)
    assert sample in {row["app_name"] for row in containers}


def test_a_token_can_be_shown(local_modal: LocalModal) -> None:
    """``modal token info`` is how to see whether credentials are good."""
    assert "Workspace: local" in run(["modal", "token", "info"], local_modal.environment).stdout


def _token(server: LocalModal) -> tuple[str, str]:
    return server.environment["MODAL_TOKEN_ID"], server.environment["MODAL_TOKEN_SECRET"]
