"""What is told of an exchange to whoever watches: the access log and traces. Off unless somebody asked for it.

An exchange holds no header, no body, no key and no feature value: only what an operator may read. A witness is called
on the serving thread, so it hands on and returns; what it cannot hand on it counts.
"""

from typing import Protocol

import msgspec


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request, answered or refused.

    protocol: codec's name. model: as the path names it, or "" where it names none. version, request_id, rows: of the
    answer; 0, "" and 0 for a refusal. caller: the API key's id, "" for none. code: the refusal's, "" for an answer.
    status: of HTTP. ended_at: UTC nanoseconds. took_us: from the checked headers to the encoded answer.
    trace: the client's W3C `traceparent`, or "".
    """

    protocol: str
    model: str
    version: int = 0
    request_id: str = ""
    rows: int = 0
    caller: str = ""
    code: str = ""
    status: int = 200
    ended_at: int = 0
    took_us: int = 0
    trace: str = ""


class Witness(Protocol):
    """Takes note of exchanges; never blocks and never raises."""

    def saw(self, exchange: Exchange, /) -> None:
        """Take note of one exchange."""

    def close(self) -> None:
        """Hand on what is left; called once, when the server ends."""
