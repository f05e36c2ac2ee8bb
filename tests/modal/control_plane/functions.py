"""Functions and classes: their definitions at deployment, their look-up by name."""

from __future__ import annotations

from grpclib import GRPCError, Status
from modal_proto import api_pb2 as pb

from .logs import Logs
from .state import Pool
from .wire import found, new_id


class Functions(Logs):
    def FunctionPrecreate(self, request: pb.FunctionPrecreateRequest) -> pb.FunctionPrecreateResponse:
        pool = self._pool(request.app_id, request.existing_function_id, request.function_name)
        return pb.FunctionPrecreateResponse(function_id=pool.id, handle_metadata=_describe(pool, request))

    def FunctionCreate(self, request: pb.FunctionCreateRequest) -> pb.FunctionCreateResponse:
        if request.HasField("function_data"):  # gpu=[...]: a list of definitions, the preferred one first
            data = request.function_data
            definition = data.ranked_functions[0].function
        else:
            definition = request.function
            data = pb.FunctionData(
                function_name=definition.function_name,
                timeout_secs=definition.timeout_secs,
                is_class=definition.is_class,
                method_definitions=definition.method_definitions,
                ranked_functions=[pb.FunctionData.RankedFunction(function=definition)],
            )
        pool = self._pool(request.app_id, request.existing_function_id, definition.function_name)
        pool.definition, pool.data = definition, data
        return pb.FunctionCreateResponse(
            function_id=pool.id,
            function=definition,
            function_data=data,
            handle_metadata=_describe(pool, definition),
        )

    def _pool(self, app: str, existing: str, name: str) -> Pool:
        function = existing or new_id("fu")
        return self.pools.setdefault(function, Pool(function, self.apps[app], name))

    def ClassCreate(self, request: pb.ClassCreateRequest) -> pb.ClassCreateResponse:
        cls = request.existing_class_id or new_id("cs")
        return pb.ClassCreateResponse(class_id=cls, handle_metadata=pb.ClassHandleMetadata())

    def ClassGet(self, request: pb.ClassGetRequest) -> pb.ClassGetResponse:
        cls = found(self.app_named(request.app_name).classes, request.object_tag, "Class")
        return pb.ClassGetResponse(class_id=cls, handle_metadata=pb.ClassHandleMetadata())

    def FunctionGet(self, request: pb.FunctionGetRequest) -> pb.FunctionGetResponse:
        app = self.app_named(request.app_name)
        if request.object_tag in app.classes:
            reason = pb.FunctionLookupError(reason=pb.FunctionLookupError.REASON_CLASS_NAME_USED)
            raise GRPCError(Status.NOT_FOUND, "That is a class", [reason])
        pool = self.pools[found(app.functions, request.object_tag, "Function")]
        return pb.FunctionGetResponse(function_id=pool.id, handle_metadata=pool.handle, function=pool.data)

    def FunctionGetCurrentStats(self, request: pb.FunctionGetCurrentStatsRequest) -> pb.FunctionStats:
        pool = found(self.pools, request.function_id, "Function")
        return pb.FunctionStats(
            backlog=len(pool.queue),
            num_total_tasks=len(pool.containers),
            num_running_inputs=pool.inputs_running,
            input_headroom=len(pool.containers) * pool.slots - pool.inputs_running,
        )


def _describe(pool: Pool, source: pb.Function | pb.FunctionPrecreateRequest) -> pb.FunctionHandleMetadata:
    """What a client knows of a function before it calls it."""
    handle = pb.FunctionHandleMetadata(
        function_name=source.function_name,
        function_type=source.function_type,
        app_id=pool.app.id,
        definition_id=f"de-{pool.id[3:]}",
        supported_input_formats=source.supported_input_formats,
        supported_output_formats=source.supported_output_formats,
    )
    if isinstance(source, pb.Function):
        handle.class_parameter_info.CopyFrom(source.class_parameter_info)
    if source.HasField("function_schema"):
        handle.function_schema.CopyFrom(source.function_schema)
    for name, method in source.method_definitions.items():
        handle.method_handle_metadata[name].CopyFrom(
            pb.FunctionHandleMetadata(
                function_name=method.function_name,
                function_type=method.function_type,
                is_method=True,
                use_method_name=name,
                app_id=pool.app.id,
                function_schema=method.function_schema,
                definition_id=handle.definition_id,
                supported_input_formats=method.supported_input_formats,
                supported_output_formats=method.supported_output_formats,
            )
        )
    pool.handle = handle
    return handle
