"""What commands print: JSON for programs, rich for people, progress on stderr."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "one_line", "passages", "print_json", "working"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""C0, DEL, C1, and what turns the direction of the text after it."""


def print_json(value: object) -> None:
    """``value`` as UTF-8 JSON on stdout. A lone surrogate, which UTF-8 cannot hold, is written as its escape."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    click.echo(text.encode("utf-8", "backslashreplace"), nl=False)


def console(*, stderr: bool = False) -> Console:
    """A rich console that prints texts as they are: no markup, no emoji codes, no colouring of numbers."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def one_line(text: str) -> str:
    """``text`` in one line, without the control characters that would drive a terminal."""
    return _CONTROL.sub("�", " ".join(text.split()))


def passages(count: int) -> str:
    """``"1 passage"``, ``"2 passages"``."""
    return f"{count} passage{'' if count == 1 else 's'}"


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Say on stderr, where that is a terminal, what goes on and for how long. What a backend prints goes there too."""
    if not sys.stderr.isatty():
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        with contextlib.redirect_stdout(sys.stderr):
            yield
