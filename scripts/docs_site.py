"""What mkdocs does not find in docs/: the order of the pages, and the pages that are made from the code.

mkdocs loads this file as a hook. Errors, services, commands and the API are read from what is installed; the pages of
integrations, examples and thin plugins are their own READMEs.
"""

from __future__ import annotations

import html
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from griffe import Docstring
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from rerankit import errors
from rerankit.cli import cli
from rerankit.loading import arguments_model
from rerankit.plugins.manager import plugin_manager
from rerankit.policy.settings import PolicySettings

__all__ = ["on_files"]

ROOT = Path(__file__).parents[1]

ORDER: dict[str, list[str]] = {
    "Use": [
        "index",
        "choosing",
        "configuration",
        "policy",
        "cli",
        "eval",
        "calibration",
        "observability",
        "operations",
    ],
    "Backends": ["mini", "crossencoder", "local-service", "modal", "http"],
    "Elsewhere": ["integrations/*", "paper-finder", "migrate"],
    "Extend": ["write-a-plugin", "hooks", "design"],
    "Reference": ["reference/*"],
}
"""Sections of the site; a page that is in none goes to the first. A name without a page is passed over."""

READMES = {"http.md": "plugins/http/README.md", "paper-finder.md": "examples/paper_finder/README.md"}
READMES |= {
    f"integrations/{path.name}.md": f"integrations/{path.name}/README.md" for path in ROOT.glob("integrations/*")
}

CORE_MODULES = ("", ".errors", ".arguments", ".plugins", ".observers", ".testing", ".cascade", ".compat")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, then put all pages in order."""
    pages = {
        "reference/errors.md": errors_page(),
        "reference/services.md": services_page(),
        "reference/commands.md": commands_page(),
        "reference/api.md": api_page(),
        **{name: readme_page(ROOT / path, name) for name, path in READMES.items()},
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    config.nav = navigation([file.src_uri for file in files.documentation_pages()])
    return files


def navigation(pages: list[str]) -> list[dict[str, list[str]]]:
    """The pages by section; none is lost."""
    left = sorted(pages)
    sections: dict[str, list[str]] = {}
    for section, names in ORDER.items():
        for name in names:
            pattern = re.compile(re.escape(name).replace(r"\*", "[^/]+") + r"\.md")
            found = [page for page in left if pattern.fullmatch(page)]
            sections.setdefault(section, []).extend(found)
            left = [page for page in left if page not in found]
    sections["Use"] += left
    return [{section: found} for section, found in sections.items()]


def errors_page() -> str:
    """Every error: its code, what it means, what to do, whether the same call may succeed later."""
    tree = (errors.__doc__ or "").split("::\n")[1].split("\n``code``")[0]
    lines = [
        "# Errors\n",
        "Every error is a `RerankitError` with a stable `code`, a `remedy`, and `retryable`: whether the same call may "
        "succeed later. A raised error's remedy is often more exact than the one here.\n",
        f"```text\n{inspect.cleandoc(tree)}\n```\n",
    ]
    for cls in error_classes(errors.RerankitError):
        also = [base.__name__ for base in cls.__mro__[1:] if base.__module__ == "builtins" and base is not object]
        also = [name for name in also if name not in ("Exception", "BaseException")]
        lines += [
            f"## {cls.code}\n",
            f"`{cls.__name__}`{f', also a `{also[0]}`' if also else ''}. {first_line(cls)}\n",
            f"Remedy: {cls.default_remedy}.\n",
            f"Retryable: {'yes' if cls.default_retryable else 'no'}.\n",
        ]
    return "\n".join(lines)


def error_classes(cls: type[errors.RerankitError]) -> Iterator[type[errors.RerankitError]]:
    """``cls`` and all below it, each once, as the tree is drawn."""
    seen: set[type] = set()
    stack = [cls]
    while stack:
        found = stack.pop()
        if found not in seen and found.__module__ == errors.__name__:
            seen.add(found)
            yield found
            stack.extend(reversed(found.__subclasses__()))


def services_page() -> str:
    """Every installed service and its arguments, and the policy's fields."""
    lines = [
        "# Services and their arguments\n",
        "`reranker_args` of each service, as its settings model has them. In the environment an argument is "
        "`RERANKER_ARGS__` and its name in upper case; on the command line `--arg name=value`.\n",
    ]
    for service in plugin_manager().services():
        model = arguments_model(service)
        lines += [f"## {service.spec.name}\n", f"{service.spec.summary}. From `{service.distribution}`.\n"]
        lines += [table(model)] if model and model.model_fields else ["It takes no arguments.\n"]
    lines += [
        "## reranker_policy\n",
        "What happens around any service: see [policy](../policy.md).\n",
        table(PolicySettings),
    ]
    return "\n".join(lines)


def table(model: type[BaseModel]) -> str:
    """The fields of a settings model; a field without a description takes the one of the docstring."""
    told = attributes(model)
    rows = ["| argument | type | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        shown = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
        kind = re.sub(r"\b(?:[a-z_]\w*\.)+", "", shown)
        default = "needed" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
        about = field.description or told.get(name, "")
        # A bar in backticks would end the cell, or be shown with its backslash.
        cells = [f"`{name}`", f"<code>{html.escape(kind)}</code>", default, about]
        cells = [cell.replace("|", "&#124;") for cell in cells]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def attributes(model: type[BaseModel]) -> dict[str, str]:
    """Descriptions under ``Attributes:`` in the docstrings of a model and its bases."""
    told: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        docstring = Docstring(inspect.cleandoc(vars(cls).get("__doc__") or ""))
        for section in docstring.parse("google", warnings=False):
            if section.kind.value == "attributes":
                told |= {item.name: " ".join(item.description.split()) for item in section.value}
    return told


def commands_page() -> str:
    """The help of every command, those of installed plugins too."""
    os.environ["COLUMNS"] = "100"
    lines = ["# Commands\n", "What `--help` says. [The command line](../cli.md) explains it.\n"]
    for command, context in commands(cli, click.Context(cli, info_name="rerankit")):
        path = context.command_path.split()
        lines += [f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}\n", f"```text\n{command.get_help(context)}\n```\n"]
    return "\n".join(lines)


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """A command and all below it, each with the context that knows its path."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, click.Context(below, info_name=name, parent=context))


def api_page() -> str:
    """Where mkdocstrings puts the public names of the core's modules and of every other distribution."""
    packages = [
        path.name for part in ("plugins", "integrations") for path in sorted(ROOT.glob(f"{part}/*/src/rerankit_*"))
    ]
    modules = [f"rerankit{name}" for name in CORE_MODULES] + packages
    return "\n".join(["# API\n", *(f"::: {module}\n" for module in modules)])


def readme_page(path: Path, name: str) -> str:
    """A README as a page: links into docs/ lead to the site's own pages."""
    up = "../" * name.count("/")
    return path.read_text(encoding="utf-8").replace("](../../docs/", f"]({up}")


def first_line(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
