"""Apps: create, deploy, list, describe, stop."""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2 as pb

from .images import Images
from .state import App, Container, Pool
from .wire import found, new_id

EPHEMERAL = (pb.APP_STATE_EPHEMERAL, pb.APP_STATE_INITIALIZING)


class Apps(Images):
    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder, cache)
        self.url = ""
        self.apps: dict[str, App] = {}
        self.deployed: dict[str, App] = {}
        self.pools: dict[str, Pool] = {}
        self.containers: dict[str, Container] = {}

    @abstractmethod
    def scale(self, pool: Pool) -> None:
        """Start what containers the pool's queue and settings ask for."""

    def app_named(self, name: str) -> App:
        return found(self.deployed, name, "App")

    def AppCreate(self, request: pb.AppCreateRequest) -> pb.AppCreateResponse:
        app = App(new_id("ap"), request.description, request.app_state)
        self.apps[app.id] = app
        return pb.AppCreateResponse(app_id=app.id, app_page_url=self._page(app), app_logs_url=self._page(app))

    def AppGetOrCreate(self, request: pb.AppGetOrCreateRequest) -> pb.AppGetOrCreateResponse:
        return pb.AppGetOrCreateResponse(app_id=self.app_named(request.app_name).id)

    def AppGetByDeploymentName(self, request: pb.AppGetByDeploymentNameRequest) -> pb.AppGetByDeploymentNameResponse:
        app = self.deployed.get(request.name)
        if app is None:
            return pb.AppGetByDeploymentNameResponse(environment_name="main")
        return pb.AppGetByDeploymentNameResponse(app_id=app.id, environment_name="main", lifecycle=app.lifecycle())

    def AppGetLayout(self, request: pb.AppGetLayoutRequest) -> pb.AppGetLayoutResponse:
        return pb.AppGetLayoutResponse(app_layout=self.layout(self.apps[request.app_id]))

    def layout(self, app: App) -> pb.AppLayout:
        """All objects of an app, as its containers hydrate them."""
        layout = pb.AppLayout(function_ids=app.functions, class_ids=app.classes)
        for function in app.functions.values():
            layout.objects.add(object_id=function, function_handle_metadata=self.pools[function].handle)
        for cls in app.classes.values():
            layout.objects.add(object_id=cls, class_handle_metadata=pb.ClassHandleMetadata())
        definitions = [self.pools[function].definition for function in app.functions.values()]
        for dependency in {d.object_id for definition in definitions for d in definition.object_dependencies}:
            layout.objects.add(object_id=dependency)
        return layout

    def AppPublish(self, request: pb.AppPublishRequest) -> pb.AppPublishResponse:
        app = self.apps[request.app_id]
        removed = set(app.functions.values()) - set(request.function_ids.values())
        app.functions, app.classes = dict(request.function_ids), dict(request.class_ids)
        app.state = request.app_state or app.state
        if request.name:
            app.deployed_name = request.name
            self.deployed[request.name] = app
        deployment = pb.AppDeploymentHistory(
            app_id=app.id,
            version=len(app.history) + 1,
            deployed_at=time.time(),
            tag=request.deployment_tag,
            client_version=request.client_version,
        )
        app.history.append(deployment)
        for function in {*app.functions.values(), *removed}:
            pool = self.pools[function]
            pool.live, pool.crash_looping = function not in removed, False
            for container in pool.containers.values():
                container.draining = True  # containers of the version before finish what they have
            self.scale(pool)
        self.notify()
        return pb.AppPublishResponse(url=self._page(app), deployed_at=deployment.deployed_at)

    def AppHeartbeat(self, request: pb.AppHeartbeatRequest) -> Empty:
        return Empty()

    def AppClientDisconnect(self, request: pb.AppClientDisconnectRequest) -> Empty:
        app = self.apps[request.app_id]
        if app.state in EPHEMERAL:
            self._stop(app)
        return Empty()

    def AppStop(self, request: pb.AppStopRequest) -> Empty:
        self._stop(found(self.apps, request.app_id, "App"))
        return Empty()

    def _stop(self, app: App) -> None:
        app.state, app.stopped = pb.APP_STATE_STOPPED, time.time()
        if self.deployed.get(app.deployed_name) is app:
            del self.deployed[app.deployed_name]
        for pool in self.pools.values():
            if pool.app is app:
                pool.live = False
                for container in pool.containers.values():
                    container.draining = True
        self.notify()

    def AppList(self, request: pb.AppListRequest) -> pb.AppListResponse:
        items = [
            pb.AppListResponse.AppListItem(
                app_id=app.id,
                description=app.description,
                name=app.deployed_name,
                state=app.state,
                created_at=app.created,
                stopped_at=app.stopped,
                n_running_tasks=len(self.containers_of(app)),
            )
            for app in self.apps.values()
        ]
        return pb.AppListResponse(apps=items)

    def AppGetInfo(self, request: pb.AppGetInfoRequest) -> pb.AppGetInfoResponse:
        app = found(self.apps, request.app_id, "App")
        info = pb.AppHandleMetadata(
            description=app.description,
            app_id=app.id,
            environment_name="main",
            lifecycle=app.lifecycle(),
            functions=app.functions,
        )
        response = pb.AppGetInfoResponse(info=info)
        for function in app.functions.values():
            gpu = self.pools[function].definition.resources.gpu_config
            response.function_info_summaries[function].gpu_config.extend([gpu] if gpu.gpu_type else [])
        return response

    def AppDeploymentHistory(self, request: pb.AppDeploymentHistoryRequest) -> pb.AppDeploymentHistoryResponse:
        app = found(self.apps, request.app_id, "App")
        return pb.AppDeploymentHistoryResponse(
            production_app_version=len(app.history), app_deployment_histories=app.history[::-1]
        )

    def TaskList(self, request: pb.TaskListRequest) -> pb.TaskListResponse:
        tasks = [
            pb.TaskStats(
                task_id=c.id,
                app_id=c.pool.app.id,
                app_description=c.pool.app.description,
                started_at=c.created,
                enqueued_at=c.created,
            )
            for c in self.containers.values()
            if request.app_id in ("", c.pool.app.id)
        ]
        return pb.TaskListResponse(tasks=tasks)

    def containers_of(self, app: App) -> list[Container]:
        return [c for c in self.containers.values() if c.pool.app is app]

    def _page(self, app: App) -> str:
        return f"{self.url}/apps/{app.id}"
