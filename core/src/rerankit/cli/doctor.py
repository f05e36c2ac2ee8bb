"""``rerankit doctor``: is everything that is installed and configured fit to serve, and if not, what to type."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from rerankit.cli.group import CHECK_FAILED, json_option
from rerankit.cli.output import print_json, working
from rerankit.errors import BackendError, RerankitError

if TYPE_CHECKING:
    from rerankit.reranker import AbstractReranker

__all__ = ["doctor"]

_MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}

_QUERY = "Which planet is known as the Red Planet?"
_PASSAGES = (
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
)
_RELEVANT = 1
_AGAIN = 0.01
"""How far apart two runs of the self-test may score: more than any precision costs."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is (ok, failed or skipped), and what to type if it is not well."""

    subject: str
    status: str
    detail: str
    remedy: str | None = None


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--model", "examine_models", is_flag=True, help="Also ask each model what a reranker should know.")
@json_option
def doctor(services: tuple[str, ...], examine_models: bool, as_json: bool) -> None:
    """Check the configuration, every plugin, and the backends.

    The configured service, its fallbacks and each SERVICE named here are loaded and rerank a few passages;
    of the others it is checked that all they need is installed. With --model, their models score shipped pairs of
    several kinds, alone and in company, and what their loaders warn about counts as a failure. Exit status 1 if a
    check fails.
    """
    version, python = importlib.metadata.version("rerankit"), platform.python_version()
    if not as_json:
        click.echo(f"rerankit {version}, Python {python} on {platform.system()} {platform.machine()}")
    checks = []
    for check in _checks(services, examine_models):
        checks.append(check)
        if not as_json:
            _print(check)
    failed = sum(check.status == "failed" for check in checks)
    if as_json:
        print_json(
            {
                "healthy": not failed,
                "rerankit": version,
                "python": python,
                "checks": [asdict(check) for check in checks],
            }
        )
    else:
        click.echo(f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed")
    if failed:
        raise click.exceptions.Exit(CHECK_FAILED)


def _checks(named: tuple[str, ...], examine_models: bool) -> Iterator[Check]:
    yield from _plugins()
    wanted: dict[str, tuple[Mapping[str, Any], Mapping[str, str]]] = {}
    try:
        from rerankit.cli.configured import configured
        from rerankit.settings import read_settings

        settings = read_settings()
        in_order = configured(settings)
    except RerankitError as error:
        yield _failed("configuration", error)
    else:
        names = ", then ".join(asked.service for asked in in_order) or "no reranking"
        yield Check("configuration", "ok", f"{settings.file or 'no file'}: {names} (by {settings.sources['service']})")
        for asked in in_order:
            wanted.setdefault(asked.service, (asked.args, asked.source))
    for name in named:
        wanted.setdefault(name, ({}, {}))
    for name, (args, source) in wanted.items():
        with working(f"loading and trying {name}"):
            tried = _tried(name, args, source, examine_models)
        yield from tried
    yield from _importable(set(wanted))


def _plugins() -> Iterator[Check]:
    from rerankit.plugins.manager import plugin_manager

    for record in plugin_manager().records:
        subject = f"plugin {record.distribution}"
        if record.status in ("broken", "incompatible"):
            remedy = (
                f"pip install --upgrade {record.distribution}, or set RERANKIT_DISABLED_PLUGINS={record.distribution}"
            )
            yield Check(subject, "failed", f"{record.version}: {record.reason}", remedy)
        elif record.status == "disabled":
            yield Check(subject, "skipped", f"{record.version}: disabled by RERANKIT_DISABLED_PLUGINS")
        else:
            yield Check(
                subject, "ok", f"{record.version}: {record.reason or ', '.join(record.services + record.commands)}"
            )


def _importable(tried: set[str]) -> Iterator[Check]:
    """Services nobody asked for: what they need is there, or the line that installs it."""
    from rerankit.loading import arguments_model, resolved
    from rerankit.plugins.manager import plugin_manager

    for service in plugin_manager().services():
        name = service.spec.name
        if {name, f"{service.distribution}:{name}"} & tried:
            continue
        try:
            model = arguments_model(service)
            resolved(service, service.spec.target)
        except RerankitError as error:
            yield _failed(name, error)
        else:
            needed = [] if model is None else [key for key, field in model.model_fields.items() if field.is_required()]
            how = f"it needs {' and '.join(needed)}" if needed else f"to try it: rerankit doctor {name}"
            yield Check(name, "ok", f"installed, not configured; {how}")


def _tried(name: str, args: Mapping[str, Any], source: Mapping[str, str], examine_model: bool) -> list[Check]:
    from rerankit.loading import build_backend
    from rerankit.sanity import examine, loader_warnings

    started = time.perf_counter()
    try:
        with loader_warnings() as findings, build_backend(name, args, source=source) as reranker:
            checks = [*_self_test(name, reranker, started)]
            if examine_model:
                findings += examine(reranker)
    except RerankitError as error:
        return [_failed(name, error)]
    except Exception as error:
        return [
            _failed(name, BackendError(f"{type(error).__name__}: {error}", remedy="report it to the plugin's author"))
        ]
    if examine_model:
        for finding in findings:
            status = "failed" if finding.remedy else "ok"
            checks.append(Check(f"{name} {finding.subject}", status, finding.detail, finding.remedy))
    return checks


def _self_test(name: str, reranker: AbstractReranker, started: float) -> Iterator[Check]:
    first = reranker.rerank(_QUERY, _PASSAGES)
    loaded = time.perf_counter() - started
    again = reranker.rerank(_QUERY, _PASSAGES)
    told: Mapping[str, str] = {}
    try:
        told = reranker.diagnose()
    except RerankitError as error:
        yield _failed(f"{name} set-up", error)
    drift = max(abs((one.score or 0.0) - (two.score or 0.0)) for one, two in zip(first, again, strict=True))
    if first[0].index != _RELEVANT:
        wrong = f"it puts {first[0].document!r} first for {_QUERY!r}"
        yield Check(name, "failed", wrong, "check the model and its weights: a trained reranker gets this right")
    elif drift > _AGAIN:
        yield Check(name, "failed", f"the same question scored {drift:.3g} apart the second time", "report it")
    else:
        facts = {"model": first.model, **told, "scores": str(first.score_kind)}
        said = ", ".join(f"{key} {value}" for key, value in facts.items() if value)
        again_ms = again.timings["total"] * 1000
        yield Check(name, "ok", f"first answer after {loaded:.2f} s, then {again_ms:.0f} ms; {said}")


def _failed(subject: str, error: RerankitError) -> Check:
    return Check(subject, "failed", f"{error.message} [{error.code}]", error.remedy)


def _print(check: Check) -> None:
    mark, colour = _MARKS[check.status]
    _echo_wrapped(f"{mark} {check.subject}: ", check.detail, fg=colour)
    if check.remedy:
        _echo_wrapped("  remedy: ", check.remedy, fg="green")


def _echo_wrapped(label: str, text: str, *, fg: str) -> None:
    """In a terminal, broken between words; elsewhere in one line, for grep."""
    line = label + text
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    click.echo(click.style(line[: len(label) - 1], fg=fg) + line[len(label) - 1 :])
