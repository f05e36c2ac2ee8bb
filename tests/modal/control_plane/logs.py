"""What containers print, and counts of what functions did."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from modal_proto import api_pb2 as pb

from .apps import Apps
from .state import Container
from .wire import found


class Logs(Apps):
    def log(self, container: Container, stream: pb.FileDescriptor.ValueType, text: str) -> None:
        logs, function = container.pool.app.logs, container.pool.id
        line = pb.TaskLogs(data=text, timestamp=time.time(), timestamp_ns=time.time_ns(), file_descriptor=stream)
        logs.append(
            pb.TaskLogsBatch(
                task_id=container.id,
                function_id=function,
                root_function_id=function,
                entry_id=f"{len(logs) + 1}-0",
                items=[line],
            )
        )
        self.notify()

    async def AppGetLogs(self, request: pb.AppGetLogsRequest) -> AsyncIterator[pb.TaskLogsBatch]:
        """As they come, for who runs or deploys an app."""
        app = found(self.apps, request.app_id, "App")
        seen = int(request.last_entry_id.split("-")[0]) if request.last_entry_id else 0
        end = time.time() + request.timeout

        def over() -> bool:
            return bool(app.stopped) and not self.containers_of(app)

        def news() -> bool:
            return len(app.logs) > seen or over()

        while time.time() < end:
            for batch in app.logs[seen:]:
                yield batch
            seen = len(app.logs)
            if over():
                yield pb.TaskLogsBatch(app_done=True)
                return
            await self.wait_for(news, end - time.time())

    def AppFetchLogs(self, request: pb.AppFetchLogsRequest) -> pb.AppFetchLogsResponse:
        """The last ones of a time range."""
        since, until = (moment.ToNanoseconds() / 1e9 for moment in (request.since, request.until))
        logs = found(self.apps, request.app_id, "App").logs
        batches = [batch for batch in logs if since <= batch.items[0].timestamp < (until or float("inf"))]
        return pb.AppFetchLogsResponse(batches=batches[-request.limit or None :])

    def AppGetTimeRangeStats(self, request: pb.AppGetTimeRangeStatsRequest) -> pb.AppGetTimeRangeStatsResponse:
        app = found(self.apps, request.app_id, "App")
        response = pb.AppGetTimeRangeStatsResponse(
            since=request.since, until=request.until, lifecycle=app.lifecycle(), deployment_count=len(app.history)
        )
        for name, function in app.functions.items():
            entry = response.functions.by_name[name]
            entry.object_id = function
            entry.counts.CopyFrom(self.pools[function].counts)
        return response
