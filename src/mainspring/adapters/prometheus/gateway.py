"""A Prometheus Pushgateway: keeps what a job that ended said last, until Prometheus asks (its README, "API")."""

import http.client
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from mainspring.adapters.prometheus.exposition import exposition
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.observe.readings import Reading

_TIMEOUT_S = 10.0
_OK = range(200, 300)


class ReadingsRefused(MainspringError):
    """The Pushgateway did not take the readings; what was judged stands in the ledger all the same."""

    code = "readings.push"
    exit_code = 75


class Pushgateway:
    """Pushes one group: the job `mainspring-watch` of a model in an environment."""

    def __init__(self, url: str, *, model: str, environment: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidValue(f"{url[:80]!r} is no Pushgateway", fix="for example http://127.0.0.1:9091")
        group = f"/metrics/job/mainspring-watch/model/{quote(model, safe='')}/environment/{quote(environment, safe='')}"
        self._parts, self._path = parts, parts.path.rstrip("/") + group

    def put(self, readings: Sequence[Reading], /) -> None:
        """Replace the group (PUT): series that are no longer told are gone."""
        parts = self._parts
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = make(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request("PUT", self._path, exposition(readings))
            answer = connection.getresponse()
            told = answer.read(200).decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as error:
            raise ReadingsRefused(
                f"the Pushgateway at {parts.netloc} did not answer: {error}", fix="see whether it runs"
            ) from error
        finally:
            connection.close()
        if answer.status not in _OK:
            raise ReadingsRefused(f"the Pushgateway answered {answer.status}: {told}", fix="see its log")
