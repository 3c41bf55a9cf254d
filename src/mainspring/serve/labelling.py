"""Posted labels from bytes to bytes: judge each, keep the good ones, say what became of all.

`receive` waits for the disk, so a transport calls it in a thread. Accepted means kept until the next watch, which finds
the prediction in the log and refuses what it cannot find (docs/serving.md, "Labels").
"""

from collections.abc import Callable
from dataclasses import dataclass

from mainspring.serve.ports import Labels
from mainspring.serve.protocols import feedback
from mainspring.serve.protocols.feedback import Batch


@dataclass(frozen=True, slots=True)
class Form:
    """One way to post labels: its name, bytes to a batch, a batch to an answer."""

    name: str
    decode: Callable[[bytes, int], Batch]
    encode: Callable[[Batch], bytes]


OURS = Form("ours", feedback.decode, feedback.encode)
SELDON = Form("seldon", feedback.decode_seldon, feedback.encode_seldon)
FORMS = {form.name: form for form in (OURS, SELDON)}


def receive(body: bytes, form: Form, labels: Labels, now: int) -> bytes:
    """Keep the good labels of `body` and return one result each as JSON (status 200 whatever their mix).

    now: UTC microseconds. Raises `BadBody`, `BadInput` or `TooLarge` for a body that is no batch, `LabelsFull` for a
    full inbox.
    """
    batch = form.decode(body, now)
    if batch.good:
        labels.put(batch.good)
    return form.encode(batch)
