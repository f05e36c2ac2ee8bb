"""What the distribution tells about itself, without importing modal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rerankit.errors import InvalidArgumentError
from rerankit_modal import ModalReranker

HEAVY = ("modal", "torch", "transformers", "grpclib", "pydantic", "rich")


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import rerankit_modal.plugin", HEAVY),
        ("from rerankit_modal import ModalReranker; ModalReranker()", ("modal", "torch", "transformers", "grpclib")),
        ("from rerankit_modal.commands import modal_commands", ("modal", "torch", "transformers", "grpclib")),
    ],
)
def test_what_is_not_used_is_not_imported(statement: str, heavy: tuple[str, ...]) -> None:
    """Listing plugins and making the reranker import nothing heavy."""
    code = f"{statement}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_existing_configurations_make_it_positionally() -> None:
    """The parameters of the first implementation, in their order."""
    reranker = ModalReranker("my-app", "my_function", 64, {"temperature": 0})
    assert reranker.arguments.model_dump(include={"app_name", "api_name", "batch_size"}) == {
        "app_name": "my-app",
        "api_name": "my_function",
        "batch_size": 64,
    }


def test_wrong_arguments_are_refused_when_it_is_made() -> None:
    """Direct use is validated as configuration is."""
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        ModalReranker(batch_size=0)
