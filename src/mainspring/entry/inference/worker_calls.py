"""One request from the parent to a worker's own port on loopback."""

import http.client
from urllib.parse import urlsplit

_TIMEOUT_S = 35.0


class WorkerGone(Exception):
    """The worker did not answer."""


def ask(base: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Return (status, body); raise `WorkerGone` where there is no answer."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WorkerGone(str(error)) from error
    finally:
        connection.close()
