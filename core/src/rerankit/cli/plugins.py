"""``rerankit plugins``: what is installed, read off metadata and light modules; no backend is imported."""

from __future__ import annotations

import click

from rerankit.cli.group import json_option
from rerankit.cli.output import one_line, print_json
from rerankit.plugins.manager import PluginManager, plugin_manager
from rerankit.plugins.records import PluginRecord

__all__ = ["plugins"]

_COLOURS = {"ok": "green", "slow": "yellow", "disabled": "white", "incompatible": "red", "broken": "red"}


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List the installed plugins, the services and commands they bring, and the reason where one is broken."""
    manager = plugin_manager()
    if as_json:
        print_json([_as_json(record, manager) for record in manager.records])
        return
    if not manager.records:
        click.echo('no plugin is installed; the default is brought by: pip install "rerankit[mini]"')
    summaries = {
        **{(service.distribution, service.spec.name): service.spec.summary for service in manager.services()},
        **{(found.distribution, f"rerankit {name}"): found.spec.summary for name, found in manager.commands().items()},
    }
    width = max((len(name) for _, name in summaries), default=0) + 2
    for record in manager.records:
        status = click.style(record.status, fg=_COLOURS[record.status])
        click.echo(f"{click.style(record.distribution, bold=True)} {record.version}  {status}")
        if record.reason:
            click.echo(f"  {one_line(record.reason)}")
        for name in [*record.services, *(f"rerankit {name}" for name in record.commands)]:
            summary = summaries.get((record.distribution, name), "another plugin has this name")
            click.echo(f"  {name:<{width}}{one_line(summary)}")


def _as_json(record: PluginRecord, manager: PluginManager) -> dict[str, object]:
    services = [
        {"name": service.spec.name, "summary": service.spec.summary, "api_version": service.spec.api_version}
        for service in manager.services()
        if service.distribution == record.distribution and service.spec.name in record.services
    ]
    return {
        "distribution": record.distribution,
        "version": record.version,
        "entry_point": record.entry_point,
        "status": record.status,
        "reason": record.reason,
        "seconds": round(record.seconds, 4),
        "services": services,
        "commands": record.commands,
    }
