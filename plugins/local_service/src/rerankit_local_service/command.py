"""``rerankit serve``."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["serve"]


@click.command()
@click.option("--service", "services", multiple=True, metavar="[NAME=]SERVICE", help="What to serve; again for more.")
@click.option(
    "--arg",
    "arguments",
    multiple=True,
    metavar="[NAME.]ARG=VALUE",
    help="An argument of a service; again for more.",
)
@click.option(
    "--alias", "aliases", multiple=True, metavar="OTHER=NAME", help="Another name of a model; '*=NAME' for any name."
)
@click.option("--config", metavar="FILE", help="The JSON configuration to read.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="0 takes a free one.  [default: 10001]")
@click.option("--allow-no-key", is_flag=True, default=None, help="Let other machines in without RERANKER_API_KEYS.")
@click.option("--timeout", type=float, help="Seconds a request may take.  [default: 120]")
@click.option("--grace", type=float, help="Seconds accepted work has after SIGTERM.  [default: 30]")
@click.option("--max-documents", type=int, help="Documents in one request.  [default: 10000]")
@click.option("--max-queue-tokens", type=int, help="Tokens that may wait.  [default: 8000000]")
@click.option("--max-batch-tokens", type=int, help="Tokens in one batch.  [default: 4096]")
@click.option("--unload-after", type=float, help="Seconds after which an unused model is dropped.  [default: never]")
@click.option("--no-self-test", "self_test", flag_value=False, default=None, help="For models without English.")
@click.option("--log-texts", is_flag=True, default=None, help="Write queries and documents to the log.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]")
def serve(
    services: tuple[str, ...], arguments: tuple[str, ...], aliases: tuple[str, ...], config: str | None, **given: Any
) -> None:
    """Serve rerankers over HTTP, in the dialects of Cohere, Jina, Voyage, TEI, vLLM, Infinity and others.

    Without --service it serves what the configuration names, by default mini. Every other option can be set as
    RERANKER_SERVER_<NAME>, too; API keys only as RERANKER_API_KEYS, separated by commas.

    \b
    rerankit serve
    rerankit serve --service crossencoder --arg model_name_or_path=cross-encoder/ms-marco-MiniLM-L6-v2
    rerankit serve --service small=mini --service big=crossencoder --arg big.model_name_or_path=...
    """
    # Help needs none of these.
    from rerankit.cli.configured import policy_of
    from rerankit.observers import switch_on
    from rerankit.settings import read_settings
    from rerankit_local_service.server.run import listening_socket, run
    from rerankit_local_service.server.selection import selected
    from rerankit_local_service.server.settings import server_settings

    settings = server_settings(**given)
    specs = selected(services, arguments, aliases, config)
    switch_on(policy_of(read_settings(config=config)).observers)
    listener = listening_socket(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    key = " -H 'authorization: Bearer KEY'" if settings.api_keys else ""
    click.echo(f"listening on {url}, loading {', '.join(spec.name for spec in specs)}; ready when {url}/ready says so")
    click.echo(f"  page     {url}/\n  docs     {url}/docs\n  client   export RERANKER_SERVICE_URL={url}")
    body = '{"query": "red planet", "documents": ["Venus is hot.", "Mars is red."]}'
    click.echo(f"  try      curl {url}/v2/rerank{key} -H 'content-type: application/json' -d '{body}'")
    run(specs, settings, listener)
