"""The caller's side of a call: inputs in, outputs and streamed values out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable

from grpclib import GRPCError, Status
from modal_proto import api_pb2 as pb

from .functions import Functions
from .state import Call, Input
from .wire import found

FAILURE = pb.GenericResult.GENERIC_STATUS_FAILURE
STREAM_S = 55.0
"""How long a request for streamed values is held open, as in the cloud."""


class Calls(Functions):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.calls: dict[str, Call] = {}
        self.inputs: dict[str, Input] = {}

    def FunctionMap(self, request: pb.FunctionMapRequest) -> pb.FunctionMapResponse:
        pool = found(self.pools, request.function_id, "Function")
        if not pool.live:
            raise GRPCError(Status.FAILED_PRECONDITION, "This app is stopped")
        call = Call(pool, request.function_call_invocation_type)
        self.calls[call.id] = call
        return pb.FunctionMapResponse(
            function_call_id=call.id,
            function_call_jwt=call.id,
            pipelined_inputs=self.enqueue(call, request.pipelined_inputs),
            retry_policy=pool.definition.retry_policy,
            sync_client_retries_enabled=True,
            max_inputs_outstanding=1000,
        )

    def enqueue(self, call: Call, items: Iterable[pb.FunctionPutInputsItem]) -> list[pb.FunctionPutInputsResponseItem]:
        accepted = []
        for item in items:
            entry = Input(call, item.idx, item.input)
            self.inputs[entry.id] = entry
            call.inputs.append(entry)
            call.pool.queue.append(entry)
            accepted.append(pb.FunctionPutInputsResponseItem(idx=item.idx, input_id=entry.id, input_jwt=entry.id))
        self.scale(call.pool)
        self.notify()
        return accepted

    async def FunctionGetOutputs(self, request: pb.FunctionGetOutputsRequest) -> pb.FunctionGetOutputsResponse:
        call = found(self.calls, request.function_call_id, "Function call")
        seen = int((request.last_entry_id or "0-0").split("-")[0])
        outputs = await self.wait_for(lambda: call.outputs[seen:], request.timeout)
        return pb.FunctionGetOutputsResponse(
            outputs=outputs,
            idxs=[output.idx for output in outputs],
            last_entry_id=f"{len(call.outputs)}-0",
            num_unfinished_inputs=sum(not entry.done for entry in call.inputs),
        )

    async def FunctionCallGetDataOut(self, request: pb.FunctionCallGetDataRequest) -> AsyncIterator[pb.DataChunk]:
        call = found(self.calls, request.function_call_id, "Function call")
        seen, end = request.last_index, time.time() + STREAM_S

        def fresh() -> list[pb.DataChunk]:
            return [chunk for chunk in call.chunks if chunk.index > seen]

        while time.time() < end:
            for chunk in fresh():
                seen = chunk.index
                yield chunk
            if call.done:
                return
            await self.wait_for(lambda: fresh() or call.done, end - time.time())

    def finish(
        self, entry: Input, result: pb.GenericResult, data_format: pb.DataFormat.ValueType = pb.DATA_FORMAT_PICKLE
    ) -> None:
        """The first result of an input counts; later ones are dropped."""
        if entry.done:
            return
        entry.done = True
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.container is not None:
            entry.container.inputs.pop(entry.id, None)
            entry.container.idle_since = time.time()
        calls, good = entry.call.pool.counts.calls, result.status == pb.GenericResult.GENERIC_STATUS_SUCCESS
        calls.total, calls.succeeded, calls.failed = calls.total + 1, calls.succeeded + good, calls.failed + (not good)
        entry.call.outputs.append(
            pb.FunctionGetOutputsItem(idx=entry.index, input_id=entry.id, result=result, data_format=data_format)
        )
        self.notify()
