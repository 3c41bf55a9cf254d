"""Wiring of the prediction log: segments on this disk, the environment's rules, and further sinks by URL."""

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from mainspring.app.secrets import resolved
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.project.serving_file import FILE, ServingFile, SinkEntry, checked_sink, read_serving_file
from mainspring.serve.log import PredictionLog
from mainspring.serve.log_rules import KEY, LogRules
from mainspring.serve.log_sinks import EVENTS, OBJECTS, Sink

_log = logging.getLogger("mainspring.inference")
_OBJECTS = ("s3", "gs", "az", "abfs", "file")


def serving_file(root: Path, environment: str) -> ServingFile:
    """Return what `environments/<environment>/serving.yaml` says as committed, or what holds without one."""
    from mainspring.adapters.git.releases import ReleaseFiles

    data = ReleaseFiles(root).beside(environment, FILE)
    return ServingFile() if data is None else read_serving_file(data, f"environments/{environment}/{FILE}")


def log_rules(found: ServingFile) -> LogRules:
    """Return the rules of a serving file; its key secret is read now."""
    return LogRules(
        sample=found.sample, redact=frozenset(found.redact), key_secret=resolved(found.key_secret).encode()
    )  # fmt: skip


def follow_rules(log: PredictionLog, read: Callable[[], ServingFile], at_start: ServingFile) -> Callable[[], None]:
    """Return what reads the serving file again and has a log follow it; a wrong one changes nothing, and is told.

    Sinks, and the types that Python models may hold, are those of the start.
    """

    def look() -> None:
        try:
            found = read()
            log.follow(log_rules(found))
        except (MainspringError, OSError) as error:
            log.rules_failure = str(error)[:300]
            _log.error("%s was changed and cannot be followed: %s", FILE, error)
            return
        log.rules_failure = ""
        if (found.sinks, found.trust) != (at_start.sinks, at_start.trust):
            _log.warning("sinks or trust of %s were changed: restart the server for them", FILE)

    return look


def logged_key(root: Path, environment: str, hides_key: bool) -> Callable[[str], str]:
    """Return what gives the text that stands in the log for an ask key. hides_key: whether the project says so."""
    from mainspring.adapters.git.releases import ReleaseFiles

    return _logged_key(root, environment, hides_key, ReleaseFiles(root).head(environment))


@lru_cache(maxsize=8)
def _logged_key(root: Path, environment: str, hides_key: bool, commit: str) -> Callable[[str], str]:
    del commit  # what is known of one commit holds for it alone
    found = serving_file(root, environment)
    if not hides_key and KEY not in found.redact:
        return str
    return log_rules(found).adding([KEY]).key


@dataclass(frozen=True, slots=True)
class LocalLog:
    """Segments on this disk. worker: the server's process, 0 for the only one. durable: False in a replay.

    keep: bytes that stay here, oldest segments going first; 0: all of them.
    """

    folder: Path
    worker: int = 0
    durable: bool = True
    keep: int = 0


def open_log(here: LocalLog, found: ServingFile, *, source: str, sinks: Sequence[str] = ()) -> PredictionLog:
    """Return the log over segments on this disk and the sinks of the file and of `sinks` (URLs).

    source: names this server's log in events.
    """
    from mainspring.adapters.files.logs import SegmentWriter

    for url in sinks:
        if wrong := checked_sink(url):
            raise InvalidValue(f"--log-sink: {wrong}", fix="for example --log-sink s3://bucket/path")
    entries = [*found.sinks, *(SinkEntry(to=url) for url in sinks)]
    rules, made = log_rules(found), [_sink(entry, here.worker, source) for entry in entries]
    name = str(here.worker) if here.worker else ""
    writer = SegmentWriter(here.folder, name, durable=here.durable, keep=here.keep)
    return PredictionLog(writer, rules=rules, sinks=made)


def _sink(entry: SinkEntry, worker: int, source: str) -> Sink:
    parts = urlsplit(entry.to)
    name = f"{parts.scheme}://{parts.netloc}{parts.path}"[:120]
    if parts.scheme in _OBJECTS:
        from mainspring.adapters.objects.bucket import Bucket
        from mainspring.adapters.objects.log import ObjectLog

        writer = f"{worker}x{os.urandom(5).hex()}"
        return Sink(name=name, writer=ObjectLog(Bucket(entry.to, retries=1), writer), cadence=OBJECTS)
    from mainspring.adapters.cloudevents.sink import CloudEventsLog

    path = re.sub(r"[^a-z0-9/._-]", "-", source.lower())
    writer_of = CloudEventsLog(entry.to, source=f"/mainspring/{path}", authorization=resolved(entry.authorization))
    return Sink(name=name, writer=writer_of, cadence=EVENTS)
