"""Message types from `messages.desc` (made by scripts/proto), in a descriptor pool of our own.

The default pool of protobuf takes one definition of `inference.ModelInferRequest` a process; tritonclient and kserve
register theirs there.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
SERVICES = (INFERENCE, HEALTH, REFLECTION)

_files = descriptor_pb2.FileDescriptorSet.FromString(
    files("mainspring.entry.inference.grpc").joinpath("messages.desc").read_bytes()
)
POOL = descriptor_pool.DescriptorPool()
for _file in _files.file:
    POOL.Add(_file)


def _classes() -> Iterator[tuple[str, Any]]:
    for file in _files.file:
        pending = list(POOL.FindFileByName(file.name).message_types_by_name.values())
        while pending:
            found = pending.pop()
            pending += found.nested_types
            yield found.full_name, message_factory.GetMessageClass(found)


# every class, nested ones too, is kept for ever: protobuf remembers them weakly, and a class that the garbage collector
# takes while a message of it lives has crashed the process (protocolbuffers/protobuf#12047 and the like)
_CLASSES: Mapping[str, Any] = dict(_classes())


def message(name: str) -> Any:  # noqa: ANN401 - protobuf makes the class
    """Return the class of a message by its full name."""
    return _CLASSES[name]


def input_of(service: str, method: str) -> Any:  # noqa: ANN401 - protobuf makes the class
    """Return the request class of a call."""
    return _CLASSES[POOL.FindServiceByName(service).FindMethodByName(method).input_type.full_name]


def file_of(symbol: str) -> bytes | None:
    """Return the serialized file that defines a symbol, for reflection; None for an unknown one."""
    service, _, method = symbol.rpartition(".")
    if service in SERVICES and method in POOL.FindServiceByName(service).methods_by_name:
        symbol = service  # the pool does not look for methods
    try:
        found = POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        return None
    return bytes(found.serialized_pb)


def file_named(name: str) -> bytes | None:
    """Return the serialized file of a name, for reflection; None for an unknown one."""
    try:
        return bytes(POOL.FindFileByName(name).serialized_pb)
    except KeyError:
        return None
