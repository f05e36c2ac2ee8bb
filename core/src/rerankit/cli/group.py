"""A click group that imports a command when it is run, and tells rerankit's errors without a traceback."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import IO, Any

import click

from rerankit.cli.output import one_line
from rerankit.errors import BackendError, ConfigurationError, InputError, PluginError, RerankitError
from rerankit.plugins.specs import resolve

__all__ = ["CHECK_FAILED", "Failure", "LazyGroup", "json_option"]

CHECK_FAILED = 1
_EXIT_CODES = {InputError: 2, ConfigurationError: 3, PluginError: 4, BackendError: 5}
_JSON = "rerankit.json"

_FIRST_PARTY = {
    "bench": "eval",
    "calibrate": "eval",
    "compare": "eval",
    "eval": "eval",
    "modal": "modal",
    "serve": "local-service",
}
"""Commands of ours that may not be installed, and the extra of the core that brings each."""


class LazyGroup(click.Group):
    """Commands by name, as ``"module:object"`` targets with a summary each; plugins' commands after ours.

    Help and listing import no command. A plugin's command cannot take the name of one of ours.
    """

    def __init__(self, *args: Any, commands_by_name: Mapping[str, tuple[str, str]], **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._own = commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({**self._plugins(), **self._own})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self._own:
            return self._loaded(self._own[name][0], "rerankit")
        found = self._plugins().get(name)
        return None if found is None else self._loaded(found.spec.target, f"{found.distribution} {found.version}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = {name: one_line(found.spec.summary) for name, found in self._plugins().items()}
        rows |= {name: summary for name, (_, summary) in self._own.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from rerankit._nearest import nearest

            extra = _FIRST_PARTY.get(args[0])
            hint = nearest(args[0], self.list_commands(ctx)) if extra is None else f': pip install "rerankit[{extra}]"'
            raise click.UsageError(f"No such command {args[0]!r}{hint}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RerankitError as error:
            raise Failure(error, as_json=ctx.meta.get(_JSON, False)) from error

    def _plugins(self) -> Mapping[str, Any]:
        from rerankit.plugins.manager import plugin_manager

        try:
            return plugin_manager().commands()
        except RerankitError as error:  # in strict mode, and help is not yet inside invoke
            raise Failure(error, as_json=False) from error

    def _loaded(self, target: object, owner: str) -> click.Command:
        try:
            command = resolve(target)
        except Exception as error:
            raise click.ClickException(
                f"{target} of {owner} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{target} of {owner} is a {type(command).__name__}, not a click command")
        return command


class Failure(click.ClickException):
    """A ``RerankitError`` as the command line tells it: on stderr, with its code and what to do."""

    def __init__(self, error: RerankitError, *, as_json: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.as_json = as_json

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return next((code for cls, code in _EXIT_CODES.items() if isinstance(self.error, cls)), CHECK_FAILED)

    def show(self, file: IO[Any] | None = None) -> None:
        if self.as_json:
            click.echo(json.dumps({"error": self.error.to_dict()}), err=True)
            return
        label = click.style("error", fg="red", bold=True)
        click.echo(f"{label} [{self.error.code}]: {self.error.message}", err=True)
        click.echo(f"{click.style('remedy', fg='green', bold=True)}: {self.error.remedy}", err=True)


def _remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[_JSON] = value
    if value:
        from rerankit.plugins.manager import plugin_manager

        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints when it is imported is not our JSON
            plugin_manager()
    return value


json_option = click.option(
    "--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help="Print JSON, errors too (on stderr)."
)
