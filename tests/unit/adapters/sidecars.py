"""What runs in the sidecar of a test: told a word, it answers by the first byte of a call."""

import os
import sys
import time
from collections.abc import Callable

from mainspring.kernel.errors import InvalidValue


def answering(hello: bytes) -> Callable[[bytes], bytes]:
    def answer(payload: bytes) -> bytes:
        match payload[:1]:
            case b"!":
                os._exit(3)
            case b"?":
                raise InvalidValue("not this", fix="something else")
            case b"z":
                os.write(2, b"asleep")
                time.sleep(600)
            case b"p":
                sys.stdout.write("a library prints")
                sys.stdout.flush()
        return hello + payload

    return answer


if __name__ == "__main__":
    from mainspring.adapters.process.sidecar_loop import serve

    serve(answering)
