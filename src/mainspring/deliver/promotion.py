"""What must hold before a version enters an environment. Pure: records in, objections out; `flows.entering` reads them.

Words: the *ladder* is the project file's environments in order, `local` left out (it is everybody's own machine). A
version enters the first rung by its gate alone, and each next one only as the champion of the rung before it, after
its *soak*. An *approval* binds one digest to one environment and one *entry*: the first time that the digest enters,
the second time after it had left, and so on. So a roll-back makes old approvals void, and nothing else that happens to
the release file does. Start at `objections`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.deliver.freezes import Freeze, frozen
from mainspring.deliver.release import Logged, Release
from mainspring.kernel.digests import checked_digest
from mainspring.kernel.errors import InvalidValue, Refused
from mainspring.kernel.times import format_duration, format_time

LOCAL = "local"


class PromotionRefused(Refused):
    """A version may not enter an environment now: the order, the soak, approvals or a freeze forbid it."""

    code = "promotion.refused"

    def __init__(self, what: str, *, fix: str, frozen: bool = False) -> None:
        """frozen: nothing but a freeze is in the way, so the same may be asked again when it is over."""
        super().__init__(what, fix=fix)
        self.frozen = frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What one environment asks of who enters. earlier: the rung before it, or "". soak: microseconds there."""

    environment: str
    approvals: int = 0
    freezes: tuple[Freeze, ...] = ()
    earlier: str = ""
    soak: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's yes. entry: which entry of the digest it is for. at, expires: UTC microseconds."""

    environment: str
    model: str
    version: int
    digest: str
    entry: int
    at: int
    expires: int
    reason: str = ""

    def __post_init__(self) -> None:
        checked_digest(self.digest)
        if not (isinstance(self.at, int) and isinstance(self.expires, int) and self.at < self.expires):
            raise InvalidValue("an approval must end after it begins", fix="approve again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Who wants what to enter, when. movers: key ids and names of who trained and who promotes; theirs do not count."""

    environment: str
    model: str
    version: int
    digest: str
    entry: int
    at: int
    movers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a version stands in the earlier environment.

    release: what serves there, None before the first. since: when the version became champion there (UTC microseconds;
    None: its ledger does not say). windows: how many were judged since. aborts: how often it was sent away from there.
    troubles: what the last window showed, in words.
    """

    environment: str
    release: Release | None = None
    commit: str = ""
    since: int | None = None
    windows: int = 0
    aborts: int = 0
    troubles: tuple[str, ...] = ()


def entrance(ladder: Sequence[str], environment: str) -> str:
    """Return the rung before `environment`, or "" for the first and for what is not on the ladder."""
    rungs = [name for name in ladder if name != LOCAL]
    place = rungs.index(environment) if environment in rungs else 0
    return rungs[place - 1] if place else ""


def entry_of(log: Sequence[Logged], digest: str) -> int:
    """Return the number of the next entry of `digest`: one more than how often it has left (log: newest first)."""
    left, inside = 0, False
    for logged in reversed(log):
        now = digest in digests_of(logged.release)
        left += inside and not now
        inside = now
    return left + 1


def digests_of(release: Release | None) -> set[str]:
    """Return the digests that a release names."""
    if release is None:
        return set()
    return {release.champion.digest} | ({release.challenger.digest} if release.challenger else set())


def counted(wanted: Wanted, approvals: Mapping[str, Approval]) -> tuple[str, ...]:
    """Return the names whose approvals count. approvals: `<name>#<key id>` of the verified approver -> what.

    A person counts once, and not for what they trained or promote themselves. That an approval came before is its
    commit's business: clocks of different machines are not compared.
    """
    names = set()
    for who, approval in approvals.items():
        name, _, key = who.partition("#")
        same = (approval.environment, approval.model, approval.digest, approval.entry)
        fits = same == (wanted.environment, wanted.model, wanted.digest, wanted.entry)
        if fits and wanted.at < approval.expires and not wanted.movers & {name, key, f"user:{name}"}:
            names.add(name)
    return tuple(sorted(names))


def objections(entrance: Entrance, wanted: Wanted, standing: Standing | None, approved: Sequence[str]) -> list[str]:
    """Return everything that forbids the entry now, in words; [] where nothing does."""
    found = _order(entrance, wanted, standing)
    if len(approved) < entrance.approvals:
        who = f" (of {', '.join(approved)})" if approved else ""
        found.append(
            f"it has {len(approved)} of {entrance.approvals} approvals{who}: "
            f"mainspring approve {wanted.version} --env {entrance.environment}, by somebody who neither trained "
            "nor promotes it"
        )
    closed = frozen(entrance.freezes, wanted.at)
    if closed:
        found.append(f"{entrance.environment} is frozen until {format_time(closed[0])}: {closed[1]}")
    return found


def _order(entrance: Entrance, wanted: Wanted, standing: Standing | None) -> list[str]:
    if not entrance.earlier:
        return []
    champion = standing.release.champion if standing and standing.release else None
    if standing is None or champion is None or champion.digest != wanted.digest:
        now = f"version {champion.version} answers there" if champion else "nothing serves there yet"
        return [f"version {wanted.version} is not the champion of {entrance.earlier}: {now}"]
    return [*_soaked(entrance, wanted, standing), *standing.troubles]


def _soaked(entrance: Entrance, wanted: Wanted, standing: Standing) -> list[str]:
    if not entrance.soak:
        return []
    if standing.since is None:
        return [f"the ledger does not say since when it answers in {entrance.earlier}"]
    stood = max(wanted.at - standing.since, 0)
    if stood >= entrance.soak:
        return []
    end = format_time(standing.since + entrance.soak)
    return [f"it has answered in {entrance.earlier} for less than {format_duration(entrance.soak)}: wait until {end}"]


def stood(events: Sequence[Mapping[str, Any]], standing: Standing, digest: str) -> Standing:
    """Return the standing with what the earlier environment's ledger says of `digest` there.

    events: {at, kind, body} of `release.*` of that environment and of `window.judged`, oldest first. A window counts
    from when the version became champion; only the last one can hold it back, and only by lost quality or data faults
    (drift alone is no fault of the model).
    """
    since: int | None = None
    aborts, inside = 0, False
    windows: list[Mapping[str, Any]] = []
    for event in events:
        body = event["body"]
        if event["kind"] == "window.judged":
            windows.append(body)
            continue
        named = {str((body.get(role) or {}).get("digest")) for role in ("champion", "challenger")}
        aborts += inside and digest not in named and event["kind"] in ("release.aborted", "release.rolled_back")
        inside = digest in named
        if (body.get("champion") or {}).get("digest") != digest:
            since = None
        elif since is None:
            since, windows = event["at"], []
    judged = windows if since is not None else []
    last = judged[-1] if judged else {}
    lost = "quality" in last.get("signals", ())
    troubles = [f"the last window in {standing.environment} shows lost quality"] if lost else []
    troubles += [f"the last window in {standing.environment} shows {fault}" for fault in last.get("faults", ())]
    return Standing(
        environment=standing.environment, release=standing.release, commit=standing.commit, since=since,
        windows=len(judged), aborts=aborts, troubles=tuple(troubles),
    )  # fmt: skip
