"""``rerankit config``: what is configured and by which source, the schema of the file, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rerankit.cli.group import json_option
from rerankit.cli.output import console, print_json

if TYPE_CHECKING:
    from rerankit.settings import Settings

__all__ = ["config"]

DEFAULT = "default"


@click.group()
def config() -> None:
    """Show, describe and check the configuration."""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: its value, and the source that decided it."""

    name: str
    value: Any
    source: str


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Show every setting, its value and the source that decided it. Secrets are hidden."""
    from rerankit.settings import read_settings

    settings = read_settings()
    rows = list(_rows(settings))
    if as_json:
        print_json({"file": str(settings.file) if settings.file else None, "settings": [asdict(row) for row in rows]})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("source", overflow="fold")
    for row in rows:
        table.add_row(row.name, _text(row.value), row.source, style="dim" if row.source == DEFAULT else "")
    screen = console()
    screen.print(table)
    screen.print(f"file: {settings.file or 'none'}", style="dim")


@config.command()
def schema() -> None:
    """Print the JSON Schema of the file, with the arguments of every installed service."""
    from rerankit.schema import config_schema

    print_json(config_schema())


@config.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@json_option
def validate(file: Path | None, as_json: bool) -> None:
    """Check FILE, or the configuration in force: names, types, services. Nothing is loaded or connected to.

    Environment and .env count, as they do when an application runs.
    """
    from rerankit.cli.configured import configured
    from rerankit.settings import read_settings

    settings = read_settings(config=file)
    services = configured(settings)
    for service in services:
        service.validate()
    names = [service.service for service in services]
    if as_json:
        print_json({"valid": True, "file": str(settings.file) if settings.file else None, "services": names})
        return
    what = str(settings.file) if settings.file else "the configuration"
    click.echo(f"{what} is valid: {', then '.join(names) if names else 'no reranking, documents keep their order'}")


def _rows(settings: Settings) -> Iterator[Row]:
    """What is set first, then what stands at its default."""
    from rerankit.cli.configured import HIDDEN, shown, shown_service
    from rerankit.policy.settings import PolicySettings

    yield Row("reranker_service", settings.service, settings.sources["service"])
    for name, value in shown(settings.service, settings.args).items():
        yield Row(f"reranker_args.{name}", value, settings.sources[f"args.{name}"])
    for name, value in settings.policy.items():
        if name == "fallback" and isinstance(value, list):
            value = [shown_service(item) for item in value]
        elif name not in PolicySettings.model_fields:
            value = HIDDEN
        yield Row(f"reranker_policy.{name}", value, settings.sources[f"policy.{name}"])
    yield from _defaults(settings)


def _defaults(settings: Settings) -> Iterator[Row]:
    from pydantic import BaseModel

    from rerankit.errors import RerankitError
    from rerankit.loading import arguments_model
    from rerankit.plugins.manager import plugin_manager
    from rerankit.policy.settings import PolicySettings

    models: list[tuple[str, type[BaseModel] | None]] = [("policy", PolicySettings)]
    if settings.service is not None:
        try:
            models.insert(0, ("args", arguments_model(plugin_manager().service(settings.service))))
        except RerankitError as error:
            click.echo(f"{error.message}", err=True)
    for section, model in models:
        for name, field in () if model is None else model.model_fields.items():
            if f"{section}.{name}" not in settings.sources and not field.is_required():
                yield Row(f"reranker_{section}.{name}", field.get_default(call_default_factory=True), DEFAULT)


def _text(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
