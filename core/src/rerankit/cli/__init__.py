"""The command line: ``rerankit`` and ``python -m rerankit``. One module a command, imported when it is run."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

import click

from rerankit.cli.group import LazyGroup

__all__ = ["cli", "main"]

_COMMANDS = {
    "config": ("rerankit.cli.config:config", "Show, describe and check the configuration."),
    "doctor": ("rerankit.cli.doctor:doctor", "Check configuration, plugins and backends, and say what to do."),
    "plugins": ("rerankit.cli.plugins:plugins", "List the installed plugins and their services."),
    "rerank": ("rerankit.cli.rerank:rerank", "Order documents by their relevance to a query."),
}


@click.group(cls=LazyGroup, commands_by_name=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rerankit", message="%(prog)s %(version)s")
def cli() -> None:
    """Rerank documents with the backend that the configuration names.

    Exit status: 0 success, 1 a check failed, 2 wrong usage or input, 3 configuration, 4 plugin, 5 backend.
    """


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        # Documents hold any character; a terminal of another encoding shows what it can.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        cli(prog_name="rerankit")
    except OSError as error:  # a full disk behind stdout, say
        click.echo(f"error: {error}", err=True)
        # Whatever still waits in the buffers would fail again when the interpreter flushes them.
        os._exit(1)
