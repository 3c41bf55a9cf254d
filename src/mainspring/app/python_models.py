"""Wiring of models that run as Python: a verified skops file in a supervised process, asked by the server.

The process is handed bytes that the server has verified and the types that it may construct; it opens no file, and its
environment holds no secret. `python -m mainspring.app.python_models` is that process.
"""

import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from mainspring.adapters.process.sidecar import Patience, Sidecar, SidecarGone
from mainspring.app.engines import packed, scorer, unpacked
from mainspring.kernel.contract import Input
from mainspring.serve.errors import BadInput, ModelGone
from mainspring.serve.poison import PoisonList
from mainspring.stats.columns import Columns, Floats

_PATIENCE = Patience(start_s=120.0, call_s=30.0)


class Told(msgspec.Struct, frozen=True):
    """What the process is told first. inputs: (name, kind) in the model's order."""

    model: bytes
    inputs: tuple[tuple[str, str], ...]
    trust: tuple[str, ...]


class PythonEngine:
    """Scores rows in a process beside this one; ended with it, and with the engine.

    A call that ends the process fails, and is refused when it comes again; the process is started for the next one.
    """

    def __init__(
        self, data: bytes, inputs: Sequence[Input], trust: Sequence[str], *, log: Path, patience: Patience = _PATIENCE
    ) -> None:
        """data: of a verified skops file. trust: types that it may contain. Raises what `Sidecar.start` raises."""
        told = Told(data, tuple((item.name, item.kind) for item in inputs), tuple(trust))
        argv = [sys.executable, "-P", "-m", "mainspring.app.python_models"]
        self.sidecar = Sidecar(argv, lambda: msgspec.msgpack.encode(told), log=log, patience=patience)
        self._names, self._poison = [item.name for item in inputs], PoisonList()
        weakref.finalize(self, self.sidecar.close, 0.0)  # perhaps on the event loop: nobody waits for it
        self.sidecar.start()

    def __call__(self, columns: Columns, /) -> Floats:
        """Return one float64 a row. Raises `BadInput` for rows that ended the process before, `ModelGone`."""
        call = packed({name: columns[name] for name in self._names})
        if call in self._poison:
            raise BadInput("these rows ended the model's process before", fix="send other rows, and tell its owner")
        try:
            return np.frombuffer(self.sidecar.call(call)).copy()
        except SidecarGone as error:
            if error.asked:
                self._poison.add(call)
            raise ModelGone(f"the model's process is gone: {error.what}", fix=error.fix) from error


def answering(hello: bytes) -> Callable[[bytes], bytes]:
    """Return what scores packed columns, from the bytes of `Told`."""
    told = msgspec.msgpack.decode(hello, type=Told)
    inputs = [Input(name=name, kind="number" if kind == "number" else "string") for name, kind in told.inputs]
    score = scorer(told.model, inputs, told.trust)

    def answer(payload: bytes) -> bytes:
        return np.ascontiguousarray(score(unpacked(payload)), "<f8").tobytes()

    return answer


if __name__ == "__main__":
    from mainspring.adapters.process.sidecar_loop import serve

    serve(answering)
