"""What containers print, and counts of what functions did."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from modal_proto import api_pb2 as pb

from .apps import Apps
from .state import Container, Counts
from .wire import found


class Logs(Apps):
    def log(self, container: Container, stream: pb.FileDescriptor.ValueType, text: str) -> None:
        entries, pool = container.pool.app.logs, container.pool
        line = pb.TaskLogs(data=text, timestamp=time.time(), timestamp_ns=time.time_ns(), file_descriptor=stream)
        entries.append(
            pb.TaskLogsBatch(
                task_id=container.id,
                function_id=pool.id,
                root_function_id=pool.id,
                entry_id=f"{len(entries) + 1}-0",
                items=[line],
            )
        )
        self.notify()

    async def AppGetLogs(self, request: pb.AppGetLogsRequest) -> AsyncIterator[pb.TaskLogsBatch]:
        app = found(self.apps, request.app_id, "App")
        seen = int(request.last_entry_id.split("-")[0]) if request.last_entry_id else 0
        end = time.time() + request.timeout

        def news() -> bool:
            return len(app.logs) > seen or over()

        def over() -> bool:
            return bool(app.stopped) and not self.containers_of(app)

        while time.time() < end:
            for batch in app.logs[seen:]:
                if request.task_id in ("", batch.task_id):
                    yield batch
            seen = len(app.logs)
            if over():
                yield pb.TaskLogsBatch(app_done=True)
                return
            await self.wait_for(news, end - time.time())

    def AppFetchLogs(self, request: pb.AppFetchLogsRequest) -> pb.AppFetchLogsResponse:
        return pb.AppFetchLogsResponse(batches=self._logs(request)[-request.limit or None :])

    def _logs(self, request: pb.AppFetchLogsRequest) -> list[pb.TaskLogsBatch]:
        since, until = (moment.ToNanoseconds() / 1e9 for moment in (request.since, request.until))
        return [
            batch
            for batch in found(self.apps, request.app_id, "App").logs
            if since <= batch.items[0].timestamp < (until or float("inf"))
            and request.task_id in ("", batch.task_id)
            and request.function_id in ("", batch.function_id)
            and request.search_text in batch.items[0].data
        ]

    def AppGetTimeRangeStats(self, request: pb.AppGetTimeRangeStatsRequest) -> pb.AppGetTimeRangeStatsResponse:
        app = found(self.apps, request.app_id, "App")
        response = pb.AppGetTimeRangeStatsResponse(
            since=request.since, until=request.until, lifecycle=app.lifecycle(), deployment_count=len(app.history)
        )
        total = Counts()
        for name, function in app.functions.items():
            counts = self.pools[function].counts
            entry = response.functions.by_name[name]
            entry.object_id = function
            entry.counts.CopyFrom(_counts(counts))
            for figure in vars(total):
                setattr(total, figure, getattr(total, figure) + getattr(counts, figure))
        response.functions.total.CopyFrom(_counts(total))
        return response


def _counts(counts: Counts) -> pb.AppFunctionCounts:
    message = pb.AppFunctionCounts()
    message.calls.total = counts.succeeded + counts.failed
    message.calls.succeeded, message.calls.failed = counts.succeeded, counts.failed
    message.containers.container_active_count = counts.started
    message.containers.container_errors = counts.errors
    return message
