"""Image RPCs: every step an image declares is carried out, in the background, and its outcome reported."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from modal_proto import api_pb2 as pb

from .account import Account
from .environments import Environments, Layer


class Images(Account):
    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder)
        self.environments = Environments(folder / "images", cache)
        self.builds: dict[str, asyncio.Future[Layer]] = {}

    def ImageGetOrCreate(self, request: pb.ImageGetOrCreateRequest) -> pb.ImageGetOrCreateResponse:
        digest = hashlib.sha256(request.image.SerializeToString(deterministic=True))
        image = f"im-{digest.hexdigest()[:22]}"
        build = self.builds.get(image)
        if build is None or (build.done() and build.exception()):
            build = self.builds[image] = self.spawn(self._build(request))
        if not build.done():
            return pb.ImageGetOrCreateResponse(image_id=image)
        return pb.ImageGetOrCreateResponse(image_id=image, result=_result(build), metadata=_metadata())

    async def ImageJoinStreaming(
        self, request: pb.ImageJoinStreamingRequest
    ) -> AsyncIterator[pb.ImageJoinStreamingResponse]:
        build = self.builds[request.image_id]
        await asyncio.wait([build], timeout=request.timeout)
        if build.done():
            yield pb.ImageJoinStreamingResponse(result=_result(build), metadata=_metadata(), eof=True)

    async def _build(self, request: pb.ImageGetOrCreateRequest) -> Layer:
        image = request.image
        if not image.base_images:
            return await asyncio.to_thread(self.environments.base, image.dockerfile_commands[0])
        parent = await self.builds[image.base_images[0].image_id]
        files = {
            f.filename: self.files / f.sha256_hex
            for f in (self.mounts[image.context_mount_id] if image.context_mount_id else ())
        }
        secrets = {name: value for secret in image.secret_ids for name, value in self.secrets[secret].items()}
        return await asyncio.to_thread(self.environments.extend, parent, image.dockerfile_commands, files, secrets)


def _result(build: asyncio.Future[Layer]) -> pb.GenericResult:
    if error := build.exception():
        return pb.GenericResult(status=pb.GenericResult.GENERIC_STATUS_FAILURE, exception=str(error))
    return pb.GenericResult(status=pb.GenericResult.GENERIC_STATUS_SUCCESS)


def _metadata() -> pb.ImageMetadata:
    version = ".".join(map(str, sys.version_info[:3]))
    return pb.ImageMetadata(python_version_info=f"Python {version}", image_builder_version="2025.06")
