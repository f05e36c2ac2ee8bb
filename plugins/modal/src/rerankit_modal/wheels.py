"""Our own distributions as wheels, for the image: entry points need metadata, which source folders lack.

What is deployed is what is installed here: an editable installation is built, any other is packed again from
the files it consists of. A distribution that is not installed here comes from the package index.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rerankit.errors import ConfigurationError

__all__ = ["build_wheels", "third_party_requirements"]

_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def build_wheels(names: Iterable[str], folder: Path) -> list[str]:
    """Write wheels of the installed distributions among ``names`` into ``folder``.

    Returns:
        Requirements for the others, at the version of this one.

    Raises:
        ConfigurationError: an editable installation cannot be built.
    """
    sources: list[str] = []
    absent: list[str] = []
    for name in names:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            absent.append(f"{name}=={version('rerankit-modal')}")
            continue
        source = _editable_source(found)
        if source is None:
            _pack(found, folder)
        else:
            sources.append(source)
    if sources:
        _build(sources, folder)
    return absent


def third_party_requirements(names: Iterable[str]) -> list[str]:
    """What the installed distributions among ``names`` require beside each other, without their extras."""
    names = {canonicalize_name(name) for name in names}
    required: set[str] = set()
    for name in names:
        try:
            declared = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for text in declared:
            requirement = Requirement(text)
            extra = requirement.marker is not None and "extra" in str(requirement.marker)
            if not extra and not canonicalize_name(requirement.name).startswith("rerankit"):
                required.add(str(requirement))
    return sorted(required)


def _editable_source(found: Distribution) -> str | None:
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return url2pathname(urlparse(origin["url"]).path)


def _build(sources: list[str], folder: Path) -> None:
    # With the build backend at hand, pip need not fetch one for each.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", str(folder)]
    done = subprocess.run([*command, *sources], capture_output=True, text=True)
    if done.returncode:
        raise ConfigurationError(
            f"pip cannot build wheels of {', '.join(sources)}: {done.stderr.strip()[-500:]}",
            remedy=f"run `{' '.join([*command, *sources])}` to see why",
        )


def _pack(found: Distribution, folder: Path) -> None:
    """A wheel of the files that an installation recorded; equal files make an equal wheel."""
    tags = [line.removeprefix("Tag: ") for line in (found.read_text("WHEEL") or "").splitlines() if "Tag: " in line]
    tag = ".".join(sorted(tag.partition("-")[0] for tag in tags)) + "-none-any"  # all of ours are pure Python
    name = canonicalize_name(found.metadata["Name"]).replace("-", "_")
    rows: list[tuple[str, str, int | str]] = []
    with zipfile.ZipFile(folder / f"{name}-{found.version}-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as wheel:

        def write(path: str, content: bytes) -> None:
            wheel.writestr(zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)

        for file in sorted(found.files or ()):
            info = file.parts[0].endswith(".dist-info")
            if file.suffix == ".pyc" or ".." in file.parts or (info and file.name in _LEFT_OUT):
                continue
            content = file.read_binary()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((file.as_posix(), f"sha256={digest}", len(content)))
            write(file.as_posix(), content)
        record = f"{name}-{found.version}.dist-info/RECORD"
        listing = io.StringIO()
        csv.writer(listing, lineterminator="\n").writerows([*rows, (record, "", "")])
        write(record, listing.getvalue().encode())
