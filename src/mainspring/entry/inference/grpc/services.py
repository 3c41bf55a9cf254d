"""The calls of the gRPC port, each with its policy: what may be called at all stands in `PUBLIC` and `ADMIN`.

A call runs on one of the library's threads. What touches the data plane hops onto the serving thread, so that counts,
ids and routing have one writer; parsing, reflection, metadata and what `quick` answers stay on the call's own thread.
"""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

import mainspring
from mainspring.entry.inference.access import Gate
from mainspring.entry.inference.desk import Desk, Target
from mainspring.entry.inference.grpc import messages
from mainspring.entry.inference.grpc.codec import InferRequest, codec_of
from mainspring.entry.inference.grpc.quick import QuickCalls
from mainspring.entry.inference.heads import LONGEST_TIMEOUT_MS, TIMEOUT
from mainspring.entry.inference.routes import Policy, Route
from mainspring.serve.errors import BadBody, DeadlinePassed, NotReady, RequestRefused, UnknownModel
from mainspring.serve.inference import MustWait, Reply
from mainspring.serve.protocols.v2_answers import EXTENSIONS, model_metadata
from mainspring.serve.versions import Serving

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND, 408: grpc.StatusCode.DEADLINE_EXCEEDED, 413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT, 429: grpc.StatusCode.RESOURCE_EXHAUSTED, 500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE, 504: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip
_INFER = Route("POST", "/inference.GRPCInferenceService/ModelInfer", "predict", "predict.grpc")
_LONGEST_S = LONGEST_TIMEOUT_MS / 1_000
_MAX_VERSION_DIGITS = 9
Context = Any  # grpc.ServicerContext; grpcio has no types of its own
Message = Any  # protobuf makes the classes


class Repository(Protocol):
    """V2's model repository extension, on the admin port alone."""

    def index(self, *, ready: bool) -> list[dict[str, str]]:
        """Return name, version, state and reason of every model, or only of those that answer."""

    def load(self, model: str, /) -> object:
        """Load what the release of a model says, again if need be; raise where it may not serve."""

    def unload(self, model: str, /) -> None:
        """Stop answering for a model until it is loaded again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the calls work on. gate: of this port. loop: the serving thread's. quick: answers plain calls, or None."""

    desk: Desk
    gate: Gate
    loop: asyncio.AbstractEventLoop
    repository: Repository | None = None
    quick: QuickCalls | None = None

    @property
    def serving(self) -> bool:
        """Tell whether every model answers and the process stays."""
        return self.desk.fleet.ready and not self.desk.leaving


Call = Callable[[Running, Message, Context], Message]


def handled(running: Running, policy: Policy, call: Call) -> Callable[[Message, Context], Message]:
    """Return a call behind its policy; every failure becomes a status, and nothing of the inside is shown."""

    def answer(request: Message, context: Context) -> Message:
        try:
            if call is not model_infer:  # the desk judges it, with its rate and budget
                running.gate.check(policy, _authorization(context), str(getattr(request, "name", "")))
            return call(running, request, context)
        except Exception as error:
            if context.code() is not None:
                raise
            return _abort(context, running.desk.told(error))

    return answer


def _abort(context: Context, refused: RequestRefused) -> None:
    trailers = [("code", refused.code)]
    if refused.exit_code == NotReady.exit_code:
        trailers.append(("retry-after", "1"))
    context.set_trailing_metadata(tuple(trailers))
    context.abort(_STATUS.get(refused.status, grpc.StatusCode.UNKNOWN), f"{refused.what}; {refused.fix}")


def _authorization(context: Context) -> bytes | None:
    for name, value in context.invocation_metadata():
        if name == "authorization":
            return str(value).encode("latin-1", "replace")
    return None


def model_infer(running: Running, request: bytes, context: Context) -> bytes:
    """Answer one infer request: the same key, limits, plane and log as over HTTP."""
    presented = _authorization(context)
    if running.quick is not None and (answer := running.quick.answer(request, presented)) is not None:
        return answer
    message = _parsed(request)
    target = Target(_INFER, "predict", codec_of(message), message.model_name, _version(message.model_version))
    found: dict[bytes, bytes] = {}
    left = context.time_remaining()
    if presented is not None:
        found[b"authorization"] = presented
    if left is not None and left < _LONGEST_S:
        found[TIMEOUT] = b"%d" % max(int(left * 1_000), 1)
    arrived, done = time.monotonic(), concurrent.futures.Future[Reply]()
    context.add_callback(done.cancel)
    running.loop.call_soon_threadsafe(_act, running, target, found, arrived, done)
    try:
        return done.result(_LONGEST_S).encoded.body
    except (concurrent.futures.CancelledError, TimeoutError) as error:
        raise DeadlinePassed("the client left, or waited too long", fix="wait longer, or ask less often") from error


def _act(
    running: Running, target: Target, found: Mapping[bytes, bytes], arrived: float,
    done: "concurrent.futures.Future[Reply]",
) -> None:  # fmt: skip
    """Run on the serving thread: answer in place where the model is fast, else in its lane."""
    if not done.set_running_or_notify_cancel():
        return
    desk = running.desk
    try:
        plane = desk.inline_plane(target)
        entry = desk.let_in(target, found, arrived, plane)
        if plane is not None:
            with contextlib.suppress(MustWait):
                done.set_result(desk.answer_now(entry, b""))
                return
    except Exception as error:  # noqa: BLE001 - it is the caller's: raised again where the call waits
        done.set_exception(error)
        return
    running.loop.create_task(_settle(done, desk.answer(entry, b"")))


async def _settle(done: "concurrent.futures.Future[Reply]", answer: Awaitable[Reply]) -> None:
    try:
        done.set_result(await answer)
    except Exception as error:  # noqa: BLE001 - it is the caller's: raised again where the call waits
        done.set_exception(error)


def _parsed(body: bytes) -> Message:
    try:
        return InferRequest.FromString(body)
    except Exception as error:  # protobuf's own class differs between its back-ends
        raise BadBody("not a ModelInferRequest", fix="send what the protocol says") from error


def server_live(running: Running, request: Message, context: Context) -> Message:
    """Say that the process lives."""
    del running, request, context
    return messages.message("inference.ServerLiveResponse")(live=True)


def server_ready(running: Running, request: Message, context: Context) -> Message:
    """Say whether every model answers."""
    del request, context
    return messages.message("inference.ServerReadyResponse")(ready=running.serving)


def server_metadata(running: Running, request: Message, context: Context) -> Message:
    """Name the server and its extensions."""
    del running, request, context
    return messages.message("inference.ServerMetadataResponse")(
        name="mainspring", version=mainspring.__version__, extensions=EXTENSIONS
    )


def model_ready(running: Running, request: Message, context: Context) -> Message:
    """Say whether a model, or a version of it, answers."""
    del context
    try:
        running.desk.fleet.plane(request.name).loaded(request.name, _version(request.version))
    except NotReady:
        return messages.message("inference.ModelReadyResponse")(ready=False)
    return messages.message("inference.ModelReadyResponse")(ready=not running.desk.leaving)


def model_metadata_(running: Running, request: Message, context: Context) -> Message:
    """Return a model's inputs, outputs and versions."""
    del context
    number = _version(request.version)
    serving: Serving = running.desk.fleet.plane(request.name).loaded(request.name, number)
    version = next(item for item in serving.versions() if number in (None, item.number))
    numbers = [number] if number else [v.number for v in serving.versions()]
    document = model_metadata(version.contract, numbers, version.engine_name)
    return messages.message("inference.ModelMetadataResponse")(**document)


def repository_index(running: Running, request: Message, context: Context) -> Message:
    """List every model and its state."""
    del context
    rows = _repository(running).index(ready=request.ready)
    return messages.message("inference.RepositoryIndexResponse")(models=rows)


def repository_load(running: Running, request: Message, context: Context) -> Message:
    """Load a model's release."""
    del context
    _repository(running).load(request.model_name)
    return messages.message("inference.RepositoryModelLoadResponse")()


def repository_unload(running: Running, request: Message, context: Context) -> Message:
    """Stop answering for a model."""
    del context
    _repository(running).unload(request.model_name)
    return messages.message("inference.RepositoryModelUnloadResponse")()


def _repository(running: Running) -> Repository:
    if running.repository is None:
        raise UnknownModel("no repository on this port", fix="use the admin port")
    return running.repository


def health_check(running: Running, request: Message, context: Context) -> Message:
    """Answer gRPC's health check for the server ("") and for each of its services."""
    if request.service not in ("", *messages.SERVICES):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
    status = "SERVING" if running.serving else "NOT_SERVING"
    return messages.message("grpc.health.v1.HealthCheckResponse")(status=status)


def reflect(running: Running, requests: Iterator[Message], context: Context) -> Iterator[Message]:
    """Answer reflection: which services there are, and the files that define them."""
    del running, context
    answer = messages.message("grpc.reflection.v1.ServerReflectionResponse")
    for request in requests:
        asked = request.WhichOneof("message_request")
        found = answer(valid_host=request.host, original_request=request)
        data = None
        if asked == "list_services":
            for name in messages.SERVICES:
                found.list_services_response.service.add(name=name)
        elif asked == "file_containing_symbol":
            data = messages.file_of(request.file_containing_symbol)
        elif asked == "file_by_filename":
            data = messages.file_named(request.file_by_filename)
        if data is not None:
            found.file_descriptor_response.file_descriptor_proto.append(data)
        elif asked != "list_services":
            found.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            found.error_response.error_message = "not known here"
        yield found


def _version(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_VERSION_DIGITS or text.startswith("0"):
        raise UnknownModel("no such model or version is served here", fix="see ServerMetadata for what is")
    return int(text)


Table = Mapping[str, tuple[Policy, Call]]
PUBLIC: Mapping[str, Table] = {
    messages.INFERENCE: {
        "ServerLive": ("open", server_live), "ServerReady": ("open", server_ready),
        "ServerMetadata": ("metadata", server_metadata), "ModelReady": ("open", model_ready),
        "ModelMetadata": ("metadata", model_metadata_), "ModelInfer": ("predict", model_infer),
    },
    messages.HEALTH: {"Check": ("open", health_check)},
    messages.REFLECTION: {"ServerReflectionInfo": ("metadata", reflect)},
}  # fmt: skip
ADMIN: Mapping[str, Table] = {
    messages.INFERENCE: {
        "RepositoryIndex": ("admin", repository_index), "RepositoryModelLoad": ("admin", repository_load),
        "RepositoryModelUnload": ("admin", repository_unload),
    },
    messages.HEALTH: {"Check": ("open", health_check)},
    messages.REFLECTION: {"ServerReflectionInfo": ("admin", reflect)},
}  # fmt: skip
