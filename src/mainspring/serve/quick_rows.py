"""Many rows of numbers in one V2 request, JSON or binary, by a champion that is alone: the short way beside `quick`.

The JSON part of a binary request says only how many rows follow and in which form; a client sends the same one over and
over, so what it means is remembered under its exact bytes. The rows are copied once, column by column as the log keeps
them, and scored there. As in `quick`, None is said for whatever is not plain, wrong or failing, and nothing was done.
"""

from functools import partial
from time import perf_counter_ns

import msgspec
import numpy as np

from mainspring.serve.blocks import Block, little
from mainspring.serve.errors import RequestRefused
from mainspring.serve.log_rows import RowShape
from mainspring.serve.protocols import v2
from mainspring.serve.protocols.v2_answers import listed_ids, listed_versions
from mainspring.serve.protocols.v2_binary import Form, form_of, matrix_of
from mainspring.serve.questions import Takes, Wire
from mainspring.serve.till import Till
from mainspring.serve.versions import Serving
from mainspring.stats.columns import Array, Floats

_FLOAT64 = np.dtype("<f8")
_MOST_ROWS, _MOST_SIZES = 1_000, 64
_MOST_FORMS, _LONGEST_FORM = 256, 1_024
_encode = msgspec.json.Encoder().encode
_JSON = Wire()
Answered = tuple[int | None, bytes]
"""(bytes of its JSON part where a binary output follows, else None; the answer)"""


class _Size(msgspec.Struct, frozen=True, gc=False):
    """What the requests of one number of rows share.

    json, binary: an answer's text between the ids and the scores, and between the ids and the id.
    """

    shape: RowShape
    texts: Array
    json: bytes
    binary: bytes


class QuickRows:
    """Answers for one release until it is retired. Not for several threads at once."""

    def __init__(self, serving: Serving, till: Till) -> None:
        champion = serving.champion
        self._takes, self._till = serving.takes, till
        self._pace, self._packed = champion.pace, champion.packed
        self._shape = partial(
            RowShape, release=serving.routing.commit, names=serving.layout.listed, version=champion.digest,
            number=champion.number,
        )  # fmt: skip
        self._forms: dict[bytes, Form] = {}
        self._sizes: dict[int, _Size] = {}
        self._before = b'{"model_name":%b,"model_version":"%d","parameters":{"prediction_ids":' % (
            _encode(self._takes.model), champion.number,
        )  # fmt: skip

    def retire(self) -> None:
        """Answer nothing from now on, and let go of the model."""
        self._packed = gone

    def answer(self, data: bytes, at: int, head: int | None) -> Answered | None:
        """Return the answer to a body, logged and counted; None where it is not for here, and nothing was done.

        data: holds the body from `at` to its end. head: bytes of the body's JSON part, None where all of it is JSON.
        """
        started = perf_counter_ns()
        asked = _of_json(data[at:], self._takes) if head is None else self._of_binary(data, at, at + head)
        if asked is None or not self._pace.inline:
            return None
        form, numbers = asked
        size = self._sizes.get(form.rows) or self._sized(form.rows)
        values = little(numbers).tobytes("F")
        block = Block(np.ndarray(numbers.shape, _FLOAT64, values, order="F"), size.texts)
        if head is not None and np.isinf(block.numbers).any():
            return None
        asks = perf_counter_ns()
        scores = self._scored(block)
        if scores is None:
            return None
        took = (perf_counter_ns() - asks) // 1_000
        if self._till.paces:
            self._pace.saw(took, form.rows)
        raw = little(scores).tobytes()
        return self._written(form, size, self._till.settled(size.shape, values, raw, took, started), scores, raw)

    def _of_binary(self, data: bytes, at: int, end: int) -> tuple[Form, Floats] | None:
        text = data[at:end]
        form = self._forms.get(text)
        if form is None:
            form = form_of(text, self._takes)
            if form is None or form.rows > _MOST_ROWS:
                return None
            if not form.id and len(text) <= _LONGEST_FORM:
                if len(self._forms) >= _MOST_FORMS:
                    self._forms.clear()
                self._forms[text] = form
        return (form, matrix_of(data, end, form)) if form.size == len(data) - end else None

    def _scored(self, block: Block) -> Floats | None:
        try:
            scores = self._packed(block)
        except Exception:  # noqa: BLE001 - whatever it is, the long way meets it again, says and counts it
            return None
        fits = scores.shape == block.numbers.shape[:1] and scores.dtype == _FLOAT64
        return scores if fits and np.isfinite(scores).all() else None

    def _written(self, form: Form, size: _Size, name: str, scores: Floats, raw: bytes) -> Answered:
        ids, end = listed_ids(name, form.rows), b"}]}" if not form.id else b'}],"id":%b}' % _encode(form.id)
        if not form.binary:
            return None, b"".join((self._before, ids, size.json, _encode(scores.tolist()), end))
        answer = b"".join((self._before, ids, size.binary, end, raw))
        return len(answer) - len(raw), answer

    def _sized(self, rows: int) -> _Size:
        shape = self._shape(rows=rows)
        text = b',"versions":%b},"outputs":[{"name":%b,"datatype":"FP64","shape":[%d],' % (
            listed_versions(shape.number, rows), _encode(self._takes.output), rows,
        )  # fmt: skip
        made = _Size(
            shape=shape, texts=np.empty((rows, 0), dtype=object), json=text + b'"data":',
            binary=text + b'"parameters":{"binary_data_size":%d}' % (rows * _FLOAT64.itemsize),
        )  # fmt: skip
        if len(self._sizes) >= _MOST_SIZES:
            self._sizes.clear()
        self._sizes[rows] = made
        return made


def gone(_: Block) -> Floats:
    """Stand for a model that was let go of."""
    raise LookupError("the release was swapped")


def _of_json(body: bytes, takes: Takes) -> tuple[Form, Floats] | None:
    """Return what a JSON body asks if that is a matrix, well-formed and for rows without keys or times."""
    try:
        asked = v2.decode(body, takes, _JSON)
    except RequestRefused:
        return None
    if asked.matrix is None or asked.keys or asked.asked_at is not None or asked.form or asked.rows > _MOST_ROWS:
        return None
    return Form(rows=asked.rows, columns=asked.matrix.shape[1], binary=asked.binary, id=asked.id), asked.matrix
