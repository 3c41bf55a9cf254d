"""A release as a plain document (what release.yaml holds), and back, with every key accounted for."""

from collections.abc import Mapping
from typing import Any

from mainspring.deliver.release import RELEASE_SCHEMA, Challenger, Champion, Plan, Release
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import format_duration, parse_duration

_ABORT: Mapping[str, tuple[type, ...]] = {
    "min_requests": (int,), "error_rate": (int, float), "latency_p99": (str,), "quality": (bool,),
}  # fmt: skip


class InvalidRelease(MainspringError):
    """A release file does not say what a release file may say."""

    code = "release.invalid"


def to_document(release: Release) -> dict[str, Any]:
    """Return the release as plain dicts, lists, texts and numbers, in the order a reader expects."""
    document: dict[str, Any] = {
        "schema": RELEASE_SCHEMA,
        "model": release.model,
        "champion": {"version": release.champion.version, "digest": release.champion.digest},
    }
    if release.challenger is not None:
        document["challenger"] = {
            "version": release.challenger.version, "digest": release.challenger.digest,
            "weight": release.challenger.weight, "mode": release.challenger.mode,
        }  # fmt: skip
        if release.challenger.mode == "bandit":
            document["challenger"]["floor"] = release.challenger.floor
    if release.plan is not None:
        abort: dict[str, Any] = dict(release.plan.abort)
        if "latency_p99" in abort:
            abort["latency_p99"] = format_duration(int(abort["latency_p99"]))
        document["plan"] = {
            "steps": list(release.plan.steps), "hold": format_duration(release.plan.hold), "abort": abort,
        }  # fmt: skip
    return document


def from_document(document: object) -> Release:
    """Return the release a document describes; refuse unknown keys, another schema and impossible values."""
    read = _mapping(document, "the file", ("schema", "model", "champion"), ("challenger", "plan"))
    if read["schema"] != RELEASE_SCHEMA:
        raise InvalidRelease(
            f"schema {str(read['schema'])[:40]!r} is not {RELEASE_SCHEMA}", fix="upgrade mainspring to read this file"
        )
    champion = _mapping(read["champion"], "champion", ("version", "digest"))
    challenger, plan = read.get("challenger"), read.get("plan")
    return Release(
        model=_text(read["model"], "model"),
        champion=Champion(version=champion["version"], digest=_text(champion["digest"], "champion.digest")),
        challenger=None if challenger is None else _challenger(challenger),
        plan=None if plan is None else _plan(plan),
    )


def _challenger(value: object) -> Challenger:
    read = _mapping(value, "challenger", ("version", "digest", "weight"), ("mode", "floor"))
    return Challenger(
        version=read["version"],
        digest=_text(read["digest"], "challenger.digest"),
        weight=read["weight"],
        mode=read.get("mode", "canary"),
        floor=read.get("floor", 0),
    )


def _plan(value: object) -> Plan:
    read = _mapping(value, "plan", ("steps", "hold"), ("abort",))
    steps = read["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, int) and not isinstance(step, bool) for step in steps):
        raise InvalidRelease("plan.steps is not a list of whole numbers", fix="steps: [5, 25, 100]")
    abort = _mapping(read.get("abort") or {}, "plan.abort", (), tuple(_ABORT))
    for name, found in abort.items():
        if not isinstance(found, _ABORT[name]) or (isinstance(found, bool) and bool not in _ABORT[name]):
            raise InvalidRelease(f"plan.abort.{name} is {str(found)[:40]!r}", fix="copy it from the project file")
    if "latency_p99" in abort:
        abort["latency_p99"] = parse_duration(abort["latency_p99"])
    return Plan(steps=tuple(steps), hold=parse_duration(_text(read["hold"], "plan.hold")), abort=abort)


def _mapping(value: object, where: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRelease(f"{where} is not a mapping", fix=f"it has the keys {', '.join(needed)}")
    known = {*needed, *allowed}
    for key in value:
        if key not in known:
            raise InvalidRelease(
                f"{where} has an unknown key {str(key)[:40]!r}", fix=f"known keys: {', '.join(sorted(known))}"
            )
    for key in needed:
        if key not in value:
            raise InvalidRelease(f"{where} has no {key}", fix=f"add {key}")
    return dict(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidRelease(f"{where} is {str(value)[:40]!r}, not text", fix="quote it")
    return value
