"""Functions and classes: their definitions at deployment, their look-up by name."""

from __future__ import annotations

from modal_proto import api_pb2 as pb

from .logs import Logs
from .state import Pool
from .wire import found, new_id


class Functions(Logs):
    def FunctionPrecreate(self, request: pb.FunctionPrecreateRequest) -> pb.FunctionPrecreateResponse:
        pool = self._pool(request.app_id, request.existing_function_id)
        return pb.FunctionPrecreateResponse(function_id=pool.id, handle_metadata=_describe(pool, request))

    def FunctionCreate(self, request: pb.FunctionCreateRequest) -> pb.FunctionCreateResponse:
        pool = self._pool(request.app_id, request.existing_function_id)
        pool.definition = request.function
        return pb.FunctionCreateResponse(
            function_id=pool.id,
            function=request.function,
            function_data=_ranked(request.function),
            handle_metadata=_describe(pool, request.function),
        )

    def _pool(self, app: str, existing: str) -> Pool:
        function = existing or new_id("fu")
        return self.pools.setdefault(function, Pool(function, self.apps[app]))

    def ClassCreate(self, request: pb.ClassCreateRequest) -> pb.ClassCreateResponse:
        cls = request.existing_class_id or new_id("cs")
        return pb.ClassCreateResponse(class_id=cls, handle_metadata=pb.ClassHandleMetadata())

    def ClassGet(self, request: pb.ClassGetRequest) -> pb.ClassGetResponse:
        cls = found(self.app_named(request.app_name).classes, request.object_tag, "Class")
        return pb.ClassGetResponse(class_id=cls, handle_metadata=pb.ClassHandleMetadata())

    def FunctionGet(self, request: pb.FunctionGetRequest) -> pb.FunctionGetResponse:
        pool = self.pools[found(self.app_named(request.app_name).functions, request.object_tag, "Function")]
        return pb.FunctionGetResponse(
            function_id=pool.id, handle_metadata=pool.handle, function=_ranked(pool.definition)
        )

    def FunctionGetCurrentStats(self, request: pb.FunctionGetCurrentStatsRequest) -> pb.FunctionStats:
        pool = found(self.pools, request.function_id, "Function")
        return pb.FunctionStats(
            backlog=len(pool.queue), num_total_tasks=len(pool.containers), num_running_inputs=pool.inputs_running
        )


def _ranked(definition: pb.Function) -> pb.FunctionData:
    """A definition as the first choice of one: Modal allows several, for several kinds of GPU."""
    return pb.FunctionData(ranked_functions=[pb.FunctionData.RankedFunction(function=definition)])


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
    for name, method in source.method_definitions.items():
        handle.method_handle_metadata[name].CopyFrom(
            pb.FunctionHandleMetadata(
                function_name=method.function_name,
                function_type=method.function_type,
                is_method=True,
                use_method_name=name,
                app_id=pool.app.id,
                definition_id=handle.definition_id,
                supported_input_formats=method.supported_input_formats,
                supported_output_formats=method.supported_output_formats,
            )
        )
    pool.handle = handle
    return handle
