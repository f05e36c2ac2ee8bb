"""What an image declares, built: a virtual environment with just those packages, a home folder, variables.

Layers are keyed by their content and built once. Layers made of downloads alone (torch and the like) may be
kept between sessions; whatever depends on a local file, our own wheels above all, is built anew for each.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path

import modal
from modal.mount import REMOTE_PACKAGES_PATH, SITECUSTOMIZE_CONTENT  # type: ignore[attr-defined]

from .account import IMAGE_BUILDER_VERSION

MACHINE = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_CERT_", "LANG", "LC_"))}
"""What of this machine's environment a build may see: where pip finds packages, and nothing else."""
HOME = "/root"
UV = re.compile(r"^/\.uv/uv pip install --python \$\(command -v python\) --compile-bytecode")
CLIENT_PACKAGES = ("modal", "modal_proto", "modal_version", "synchronicity")


class BuildError(Exception):
    """A command of the image failed, or is one that this stand-in does not run."""


@dataclass(frozen=True)
class Layer:
    """An image up to one of its steps.

    Attributes:
        key: hash of everything that went into it.
        venv: what is installed; ``home``: the files under /root.
        variables: from ENV lines.
        downloads_only: nothing of this machine went into it.
    """

    key: str
    venv: Path
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    downloads_only: bool = True

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    def variables_here(self, home: Path) -> dict[str, str]:
        """The environment of a process in this image: nothing of this machine's but a PATH."""
        path = f"{self.venv / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(home), "VIRTUAL_ENV": str(self.venv), **self.variables}


class Environments:
    """Builds layers, below ``cache`` where they are made of downloads alone, else below ``folder``."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.client = folder / "client"
        self._install_client()

    def base(self, docker_line: str) -> Layer:
        """An empty environment for ``FROM python:X.Y…``; only the running interpreter's version is to be had."""
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if not docker_line.startswith(f"FROM python:{here}."):
            raise BuildError(f"the local control plane has Python {here} only, the image starts {docker_line!r}")
        key = _hash([docker_line, sys.version, sys.executable])
        place = self.cache / key
        if not place.exists():
            with _making(place) as draft:
                _run([sys.executable, "-m", "venv", str(draft / "venv")], {"PATH": os.environ["PATH"]}, draft)
                (draft / "home").mkdir()
        return Layer(key, place / "venv", place / "home")

    def extend(
        self, parent: Layer, commands: Iterable[str], files: Mapping[str, Path], secrets: Mapping[str, str]
    ) -> Layer:
        """The layer after a Dockerfile's lines, with the files of its context (absolute path: content).

        ``secrets`` are in the environment of the lines that are run, and nowhere else.
        """
        lines = [line for line in commands if not line.startswith(("FROM ", "COPY --from=", "CMD ", "WORKDIR "))]
        variables = {**parent.variables, **_variables(lines)}
        runs = [UV.sub("python -m pip install --no-compile", line[4:]) for line in lines if line.startswith("RUN ")]
        unknown = [line for line in lines if not line.startswith(("RUN ", "ENV ", "COPY . /"))]
        if unknown:
            raise BuildError(f"the local control plane does not run {unknown[0]!r}")
        contents = [f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(files.items())]
        key = _hash([parent.key, *lines, *contents])
        downloads_only = parent.downloads_only and not files and not secrets
        place = (self.cache if downloads_only else self.folder) / key
        layer = Layer(key, place / "venv" if runs else parent.venv, place / "home", variables, downloads_only)
        if not place.exists():
            with _making(place) as draft:
                shutil.copytree(parent.home, draft / "home")
                if runs:
                    shutil.copytree(parent.venv, draft / "venv", symlinks=True, copy_function=_link)
                for name, path in files.items():
                    _place(path, name, draft / "home")
                environment = Layer("", draft / "venv", draft / "home", variables).variables_here(draft / "home")
                if downloads_only:
                    runs = [*runs, "python -m compileall -q -j 0 $VIRTUAL_ENV/lib || true"]
                for command in runs:
                    _run(["sh", "-c", command], {**MACHINE, **environment, **secrets}, draft / "home")
        return layer

    def _install_client(self) -> None:
        """What Modal mounts into every container: its client at /pkg, the client's dependencies at the path's end.

        The same files as here stand in for the builder's pins; ``sitecustomize`` is Modal's own.
        """
        packages, dependencies = self.client / "pkg", self.client / "deps"
        pins = Path(modal.__file__).parent / "builder" / f"{IMAGE_BUILDER_VERSION}.txt"
        names = {re.split(r"[=<>; ]", line)[0] for line in pins.read_text().splitlines() if line}
        for name in names - {"async-timeout"}:
            _copy_distribution(name, dependencies)
        for name in ("modal", "synchronicity"):
            _copy_distribution(name, packages, only=CLIENT_PACKAGES)
        sitecustomize = SITECUSTOMIZE_CONTENT.replace(REMOTE_PACKAGES_PATH, str(dependencies))
        (packages / "sitecustomize.py").write_text(sitecustomize)


def _copy_distribution(name: str, destination: Path, only: tuple[str, ...] = ()) -> None:
    for file in distribution(name).files or ():
        if ".." in file.parts or (only and file.parts[0] not in only):
            continue
        target = destination / file
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(str(file.locate()), str(target))


def _link(source: str, target: str) -> str:
    """A hard link: pip and the interpreter replace files, they never write into them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _place(path: Path, name: str, home: Path) -> None:
    if not name.startswith(HOME + "/"):
        raise BuildError(f"the local control plane keeps only what is under {HOME}, not {name}")
    target = home / name.removeprefix(HOME + "/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _variables(lines: Iterable[str]) -> dict[str, str]:
    pairs = [pair for line in lines if line.startswith("ENV ") for pair in shlex.split(line[4:])]
    return dict(pair.split("=", 1) for pair in pairs)


def _run(command: list[str], environment: Mapping[str, str], folder: Path) -> None:
    done = subprocess.run(
        command, env=dict(environment), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise BuildError(f"{command[-1]!r} exited with {done.returncode}:\n{done.stdout[-4000:]}")


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:22]


@contextmanager
def _making(place: Path) -> Iterator[Path]:
    """A folder that appears under its name only when it is complete."""
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if not place.exists():
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
