"""Wiring of explanations: a verified model in a process of its own, asked by the server.

The server hands over bytes that it has verified; the process opens no file.
`python -m mainspring.app.explaining` is that process.
"""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np

from mainspring.adapters.process.sidecar import Patience, Sidecar, SidecarGone, SidecarLate
from mainspring.adapters.shap.attributions import ExplainMissing
from mainspring.app.engines import packed, scorer, unpacked
from mainspring.kernel.contract import Contract, model_of, read_contract
from mainspring.kernel.errors import InvalidValue
from mainspring.serve.errors import BadInput, DeadlinePassed, NotReady
from mainspring.serve.questions import Explanation
from mainspring.serve.versions import sample_of
from mainspring.stats.columns import Columns

_ROWS = 64
_KEPT = 2
_PATIENCE = Patience(start_s=120.0, call_s=60.0)
_UNIT = "probability"


class Told(msgspec.Struct, frozen=True):
    """What the process is told first: files of a verified model; profile is empty where it has none."""

    model: bytes
    trust: tuple[str, ...]
    contract: bytes
    profile: bytes


class Found(msgspec.Struct, frozen=True):
    """An explanation on the wire: base [n] and values [n, k], float64 as bytes."""

    method: str
    base: bytes
    values: bytes


class Explainers:
    """Explains rows by models, each in a process that the first question for it starts."""

    def __init__(self, files: Callable[[str], Mapping[str, bytes]], log: Path, trust: Sequence[str]) -> None:
        """files: digest -> the verified files of a model. log: what the processes say. trust: types that they open."""
        if find_spec("shap") is None:
            raise ExplainMissing("explanations need shap", fix="pip install 'mainspring[explain]'")
        self._files, self._log, self._trust = files, log, tuple(trust)
        self._kept: dict[str, tuple[Contract, Sidecar]] = {}
        self._guard = threading.Lock()

    def explain(self, digest: str, columns: Columns) -> Explanation:
        """Return why the model of `digest` scores the rows as it does."""
        contract, sidecar = self._of(digest)
        names = tuple(item.name for item in contract.inputs)
        try:
            answer = sidecar.call(packed({name: columns[name] for name in names}))
        except SidecarLate as error:
            raise DeadlinePassed("no explanation in time", fix="send fewer rows") from error
        except SidecarGone as error:
            raise NotReady(f"explanations are not available: {error.what}", fix=error.fix) from error
        except InvalidValue as error:
            raise BadInput(error.what, fix=error.fix) from error
        found = msgspec.msgpack.decode(answer, type=Found)
        base = np.frombuffer(found.base)
        return Explanation(
            method=found.method, unit=_UNIT, inputs=names, base=base,
            values=np.frombuffer(found.values).reshape(len(base), len(names)),
        )  # fmt: skip

    def close(self) -> None:
        """End every process."""
        with self._guard:
            for _, sidecar in self._kept.values():
                sidecar.close()
            self._kept.clear()

    def _of(self, digest: str) -> tuple[Contract, Sidecar]:
        with self._guard:
            if digest not in self._kept:
                if len(self._kept) >= _KEPT:
                    _, oldest = self._kept.pop(next(iter(self._kept)))
                    oldest.close()
                files = self._files(digest)
                told = Told(model_of(files), self._trust, files["contract.json"], files.get("profile.json", b""))
                argv = [sys.executable, "-P", "-m", "mainspring.app.explaining"]
                sidecar = Sidecar(argv, lambda: msgspec.msgpack.encode(told), log=self._log, patience=_PATIENCE)
                self._kept[digest] = read_contract(told.contract), sidecar
            return self._kept[digest]


def answering(hello: bytes) -> Callable[[bytes], bytes]:
    """Return what explains tables, from the bytes of `Told`; its own sample is explained first, to be warm."""
    from mainspring.adapters.shap.attributions import METHOD, Attributions
    from mainspring.observe.backgrounds import background
    from mainspring.observe.profiles import read_reference

    told = msgspec.msgpack.decode(hello, type=Told)
    contract = read_contract(told.contract)
    sample, _ = sample_of(contract)
    rows = background(read_reference(told.profile), _ROWS) if told.profile else sample
    count = len(next(iter(rows.values()))) if rows else _ROWS
    rows = {name: rows.get(name, np.resize(values, count)) for name, values in sample.items()}  # personal: no profile
    attributions = Attributions(scorer(told.model, contract.inputs, told.trust), contract.inputs, rows)
    attributions.of(sample)

    def answer(payload: bytes) -> bytes:
        base, values = attributions.of(unpacked(payload))
        return msgspec.msgpack.encode(Found(METHOD, base.tobytes(), np.ascontiguousarray(values).tobytes()))

    return answer


if __name__ == "__main__":
    from mainspring.adapters.process.sidecar_loop import serve

    serve(answering)
