"""The inside of a sidecar: take what it is told first, then answer call after call."""

import json
import os
import sys
from collections.abc import Callable

from mainspring.adapters.process.sidecar import ANSWERED, LENGTH, REFUSED, read_frame
from mainspring.kernel.errors import MainspringError

Answer = Callable[[bytes], bytes]


def serve(made: Callable[[bytes], Answer]) -> int:
    """Answer calls on standard input until it ends; return how many. made: the hello -> what answers.

    A `MainspringError` is told to the caller; any other exception ends the process, as what it holds may be broken.
    Standard output is the pipe: whatever else writes to it (a library's print) goes to standard error.
    """
    asked = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    count, answer = -1, _hello(made)
    while (payload := read_frame(asked)) is not None:
        try:
            found = ANSWERED + answer(payload)
        except MainspringError as error:
            found = REFUSED + json.dumps({"what": error.what, "fix": error.fix}).encode()
        answers.write(LENGTH.pack(len(found)))
        left = memoryview(found)
        while left:
            left = left[answers.write(left) :]
        count += 1
    return max(count, 0)


def _hello(made: Callable[[bytes], Answer]) -> Answer:
    """Return what answers the first call by becoming what answers the others."""
    ready: list[Answer] = []

    def answer(payload: bytes) -> bytes:
        if ready:
            return ready[0](payload)
        ready.append(made(payload))
        return b""

    return answer
