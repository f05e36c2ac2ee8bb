"""Client, token, environment, and the objects a deployment uploads: blobs, mounts, secrets."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web
from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2 as pb

from .wire import Service, new_id

IMAGE_BUILDER_VERSION = "2025.06"


class Account(Service):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.files = folder / "files"
        self.blobs = folder / "blobs"
        self.files.mkdir(parents=True)
        self.blobs.mkdir()
        self.blob_url = ""
        self.mounts: dict[str, list[pb.MountFile]] = {}
        self.secrets: dict[str, dict[str, str]] = {}

    def ClientHello(self, request: Empty) -> pb.ClientHelloResponse:
        return pb.ClientHelloResponse()

    def TokenInfoGet(self, request: pb.TokenInfoGetRequest) -> pb.TokenInfoGetResponse:
        return pb.TokenInfoGetResponse(token_id=self.caller, workspace_name="local", workspace_id="ac-local")

    def WorkspaceNameLookup(self, request: Empty) -> pb.WorkspaceNameLookupResponse:
        return pb.WorkspaceNameLookupResponse(workspace_name="local", username="local")

    def EnvironmentGetOrCreate(self, request: pb.EnvironmentGetOrCreateRequest) -> pb.EnvironmentGetOrCreateResponse:
        settings = pb.EnvironmentSettings(image_builder_version=IMAGE_BUILDER_VERSION)
        return pb.EnvironmentGetOrCreateResponse(
            environment_id="en-main", metadata=pb.EnvironmentMetadata(name="main", settings=settings)
        )

    # --- blobs: over HTTP, as with S3 -------------------------------------------------------------

    def blob_routes(self) -> list[web.RouteDef]:
        return [web.put("/{id}", self._blob_put), web.get("/{id}", self._blob_get)]

    async def _blob_put(self, request: web.Request) -> web.Response:
        content = await request.read()
        (self.blobs / request.match_info["id"]).write_bytes(content)
        return web.Response(headers={"ETag": f'"{hashlib.md5(content).hexdigest()}"'})

    async def _blob_get(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(self.blobs / request.match_info["id"])

    def BlobCreate(self, request: pb.BlobCreateRequest) -> pb.BlobCreateResponse:
        blob = new_id("bl")
        urls = pb.UploadUrlList(items=[self.blob_url + blob])
        return pb.BlobCreateResponse(blob_ids=[blob], upload_urls=urls)

    def BlobGet(self, request: pb.BlobGetRequest) -> pb.BlobGetResponse:
        return pb.BlobGetResponse(download_url=self.blob_url + request.blob_id)

    # --- mounts: local files, by content ----------------------------------------------------------

    def MountBatchedCheckExistence(
        self, request: pb.MountBatchedCheckExistenceRequest
    ) -> pb.MountBatchedCheckExistenceResponse:
        missing = [digest for digest in request.sha256_hex_hashes if not (self.files / digest).exists()]
        return pb.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    def MountPutFile(self, request: pb.MountPutFileRequest) -> pb.MountPutFileResponse:
        content = (self.blobs / request.data_blob_id).read_bytes() if request.data_blob_id else request.data
        (self.files / request.sha256_hex).write_bytes(content)
        return pb.MountPutFileResponse(exists=True)

    def MountGetOrCreate(self, request: pb.MountGetOrCreateRequest) -> pb.MountGetOrCreateResponse:
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        mount = f"mo-{digest[:22]}"
        self.mounts[mount] = list(request.files)
        metadata = pb.MountHandleMetadata(content_checksum_sha256_hex=digest)
        return pb.MountGetOrCreateResponse(mount_id=mount, handle_metadata=metadata)

    def place_mount(self, mount: str, destination: Path) -> None:
        """Write a mount's files under ``destination``, which stands for the container's ``/``."""
        for file in self.mounts[mount]:
            target = destination / file.filename.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((self.files / file.sha256_hex).read_bytes())

    # --- secrets ----------------------------------------------------------------------------------

    def SecretGetOrCreate(self, request: pb.SecretGetOrCreateRequest) -> pb.SecretGetOrCreateResponse:
        secret = new_id("st")
        self.secrets[secret] = dict(request.env_dict)
        return pb.SecretGetOrCreateResponse(secret_id=secret)
