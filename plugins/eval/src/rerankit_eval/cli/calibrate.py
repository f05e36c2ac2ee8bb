"""``rerankit calibrate``: from judged pairs to a file that turns a model's scores into probabilities."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rerankit.cli.group import json_option
from rerankit.cli.output import print_json
from rerankit.errors import InputError
from rerankit.policy.calibration import Calibration, MadeFor
from rerankit_eval.calibration import Fit, Threshold, fit, judged_pairs
from rerankit_eval.cli.options import ReadJudged, data_options, service_option, store_option
from rerankit_eval.cli.progress import score_contenders
from rerankit_eval.contenders import parse_contenders
from rerankit_eval.judged import JudgedSet

__all__ = ["calibrate"]

_SHARE = click.FloatRange(min=0.0, max=1.0, min_open=True)


@click.command()
@data_options
@service_option(multiple=False)
@click.option(
    "--method",
    type=click.Choice(["auto", "platt", "isotonic"]),
    default="auto",
    show_default=True,
    help="What is fitted: a sigmoid, or steps; auto: the sigmoid unless steps are clearly better.",
)
@click.option("--precision", type=_SHARE, help="Suggest a threshold above which this share is relevant.")
@click.option("--recall", type=_SHARE, help="Suggest a threshold above which this share of the relevant is found.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write; name it in reranker_policy.calibration.",
)
@store_option
@json_option
def calibrate(
    read: ReadJudged,
    relevant_from: int,
    services: str,
    method: Any,
    precision: float | None,
    recall: float | None,
    output: Path,
    store: Path,
    as_json: bool,
) -> None:
    """Fit a map from a service's scores to probabilities of relevance, on the judged candidates of DATA.

    The error before and after is told for queries that the map was not fitted on. A probability holds for
    candidates like these: judge what your first stage gives you.

    \b
    rerankit calibrate my-data --service mini --precision 0.8 --output mini.calibration.json
    {"run_config": {"reranker_service": "mini", "reranker_policy": {"calibration": "mini.calibration.json"}}}
    """
    (contender,) = parse_contenders([services])
    judged = read()
    scored, failed = score_contenders(judged, [contender], store)
    for error in failed.values():
        raise error
    source = scored[0].source
    fitted = fit(judged_pairs(judged, scored[0], relevant_from), source.score_kind, method)
    asked = {"precision": precision, "recall": recall}
    thresholds = {
        f"{name} {share:g}": _threshold(fitted, name, share) for name, share in asked.items() if share is not None
    }
    calibration = Calibration(
        made_for=MadeFor(
            service=contender.service or contender.label,
            model=source.model,
            revision=source.revision,
            score_kind=source.score_kind,
        ),
        map=fitted.map,
        measured={
            "data": judged.facts(),
            "relevant_from": relevant_from,
            **fitted.facts(),
            "thresholds": {name: asdict(found) for name, found in thresholds.items()},
        },
    )
    output.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(calibration.model_dump(mode="json"))
    else:
        _print(judged, calibration, fitted, thresholds, output)


def _threshold(fitted: Fit, name: str, share: float) -> Threshold:
    found = fitted.threshold_for(**{name: share})
    if found is None:
        raise InputError(
            f"no threshold reaches a {name} of {share:g} on held-out queries",
            value=share,
            remedy=f"ask for a lower {name}, or use a better model",
        )
    return found


def _print(
    judged: JudgedSet, calibration: Calibration, fitted: Fit, thresholds: dict[str, Threshold], output: Path
) -> None:
    made_for = calibration.made_for
    model = made_for.model or made_for.service
    relevant, change = fitted.pairs.relevant, fitted.brier_change
    click.echo(
        f"{judged.name}: {len(relevant)} judged candidates of {len(judged.queries)} queries, "
        f"{relevant.mean():.0%} relevant"
    )
    click.echo(f"{model}: {made_for.score_kind} scores to probabilities by {calibration.map.method}")
    click.echo(
        f"expected calibration error on held-out queries: {fitted.error_before:.3f} before, {fitted.error_after:.3f} "
        f"after; so few pairs show {fitted.error_of_chance:.3f} even of exact probabilities"
    )
    click.echo(
        f"Brier score on held-out queries: {fitted.brier_before:.3f} before, {fitted.brier_after:.3f} after; "
        f"change {change.mean:+.4f} (95 % {change.low:+.4f} to {change.high:+.4f}, over queries)"
    )
    if change.high >= 0:
        click.echo("the scores as they are may be as good: judge more queries, or leave the calibration out")
    for wanted, found in thresholds.items():
        click.echo(
            f"for a {wanted}: context_threshold {found.threshold:.3f} "
            f"(precision {found.precision:.2f}, recall {found.recall:.2f} on held-out queries)"
        )
    click.echo(f'written: {output}; configure it: {{"reranker_policy": {{"calibration": "{output}"}}}}')
