"""``rerankit modal deploy|status|cost``: what modal's own commands do not do; the rest is left to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from rerankit.cli.group import json_option
from rerankit.cli.output import console, print_json

if TYPE_CHECKING:
    from rerankit_modal.cost import Estimate

__all__ = ["modal_commands"]


class _Amount(click.FloatRange):
    """A number, zero or more, and no infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        amount = super().convert(value, param, ctx)
        if not math.isfinite(amount):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return amount


_AMOUNT = _Amount(min=0)


@click.group()
def modal_commands() -> None:
    """Deploy to Modal, see how the deployment is, estimate what it costs.

    What is deployed is set by RERANKIT_MODAL_APP_NAME, _MODEL, _REVISION, _GPU, _MIN_CONTAINERS and others, in the
    environment or .env. Logs, history and stopping are modal's own: `modal app logs|history|stop APP`.
    """


@modal_commands.command()
def deploy() -> None:
    """Deploy the app, or replace the one of its name.

    Builds the images that changed, starts new containers and lets the old ones finish what they have.
    """
    import asyncio

    import modal
    import modal.exception

    from rerankit_modal.engine import ModalEngine
    from rerankit_modal.failures import translated
    from rerankit_modal.settings import read_settings

    settings = read_settings()
    settings.require_pinned()
    engine = ModalEngine(settings.app_name)
    source = engine.credentials.source
    click.echo(f"deploying {settings.app_name} with the token from the {source}", err=True)
    client = asyncio.run(engine.client())
    from rerankit_modal.app import app

    try:
        with modal.enable_output():
            app.deploy(client=client)
    except modal.exception.Error as error:
        raise translated(error, settings.app_name, source) from None
    click.echo(f"deployed {settings.app_name}: {settings.model} ({settings.pinned_revision or 'local folder'})")
    click.echo(
        f"next: RERANKER_SERVICE=modal RERANKER_ARGS__APP_NAME={settings.app_name} rerankit rerank QUERY TEXT..."
    )


@modal_commands.command()
@click.option("--app-name", help="The app; by default RERANKIT_MODAL_APP_NAME.")
@click.option("--wake", is_flag=True, help="Ask it even if that starts a container, which costs money.")
@json_option
def status(app_name: str | None, wake: bool, as_json: bool) -> None:
    """Show containers, backlog, model and a self-test.

    Where no container is up, none is started to ask it, unless --wake is given.
    """
    from rerankit_modal.status import deployment_status

    found = deployment_status(app_name, wake=wake)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name:<12}{'-' if value is None else value}")


@modal_commands.command()
@click.option("--requests-per-day", type=_AMOUNT, default=1000.0, show_default=True)
@click.option(
    "--seconds-per-request",
    type=_AMOUNT,
    default=1.0,
    show_default=True,
    help="Of a container; measure yours, nobody has for you.",
)
@click.option("--cold-start", "cold_start_s", type=_AMOUNT, default=60.0, show_default=True, help="Seconds.")
@click.option("--gpu-price", type=_AMOUNT, help="US dollars an hour, where it is not the list price.")
@json_option
def cost(
    requests_per_day: float, seconds_per_request: float, cold_start_s: float, gpu_price: float | None, as_json: bool
) -> None:
    """Estimate what the deployment costs; spends nothing.

    Of what RERANKIT_MODAL_* configures, and of the same scaled to zero, for the traffic that the options state.
    """
    from rerankit.errors import InvalidArgumentError
    from rerankit_modal.cost import GPU_S, PRICES_AS_OF, Traffic, container_price, estimate, keeps_itself_warm
    from rerankit_modal.settings import read_settings

    settings = read_settings()
    if gpu_price is None and settings.gpu not in GPU_S:
        raise InvalidArgumentError(
            f"no price is known of the GPU {settings.gpu!r}",
            remedy=f"give --gpu-price in dollars an hour (see https://modal.com/pricing), or one of {', '.join(GPU_S)}",
            value=settings.gpu,
        )
    gpu_s = gpu_price / 3600 if gpu_price is not None else GPU_S[settings.gpu]
    price_s = container_price(gpu_s, settings.memory)
    traffic = Traffic(requests_per_day, seconds_per_request, cold_start_s)
    warm = estimate(traffic, price_s=price_s, warm=settings.min_containers, window_s=settings.scaledown_window)
    zero = estimate(traffic, price_s=price_s, warm=0, window_s=settings.scaledown_window)
    even = keeps_itself_warm(traffic, window_s=settings.scaledown_window)
    source = "given" if gpu_price is not None else f"list price of {PRICES_AS_OF}"
    if as_json:
        rows = {"configured": _row(settings.min_containers, warm), "scale_to_zero": _row(0, zero)}
        print_json({"price_per_hour": price_s * 3600, "price": source, **rows, "break_even_requests_per_day": even})
        return
    _print_costs(settings.gpu, price_s, source, settings.min_containers, warm, zero, even)


def _row(warm: int, day: Estimate) -> dict[str, float]:
    return {
        "warm_containers": warm,
        "container_hours_per_day": day.container_hours,
        "dollars_per_day": day.dollars,
        "dollars_per_month": day.dollars_a_month,
        "cold_starts_per_day": day.cold_starts,
    }


def _print_costs(
    gpu: str, price_s: float, source: str, containers: int, warm: Estimate, zero: Estimate, even: float
) -> None:
    from rich.table import Column, Table

    table = Table("", *(Column(name, justify="right") for name in ("hours/day", "$/day", "$/month", "cold starts/day")))
    rows = [("scaling to zero", zero)]
    if containers:
        rows.insert(0, (f"{containers} kept warm, as configured", warm))
    for name, day in rows:
        figures = (day.container_hours, day.dollars, day.dollars_a_month, day.cold_starts)
        table.add_row(name, *(f"{figure:,.2f}" for figure in figures))
    out = console()
    out.print(f"one container (GPU: {gpu}): ${price_s * 3600:.3f} an hour, {source}; see https://modal.com/pricing")
    out.print(table)
    if zero.cold_starts and warm.dollars > zero.dollars:
        out.print(f"a cold start avoided costs ${(warm.dollars - zero.dollars) / zero.cold_starts:.3f}")
    out.print(f"break-even: from {even:,.0f} requests a day on, traffic alone keeps a container up 95 % of the time")
    out.print("an estimate for requests at random times; speed and cold starts on Modal are unmeasured, so give yours")
