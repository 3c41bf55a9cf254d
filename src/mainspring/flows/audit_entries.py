"""Judge the release commits of a range again, from git alone: what a hosted pipeline runs before it lets them in.

Whose keys count and what each environment asks is read at the range's base, so a commit cannot bring its own
approvers or lower its own bar. Judged is every digest that enters an environment; weights, finished and aborted trials
and roll-backs to the last healthy content bring nothing new. What git does not know (a ledger's windows) is taken from
the evidence, as its signer vouches for it; commit times are the committers' own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.deliver.documents import InvalidRelease
from mainspring.deliver.promotion import Entrance, Standing, Wanted, counted, digests_of, entry_of, objections
from mainspring.deliver.release import Logged, Release, ReleaseRefused, last_healthy
from mainspring.flows.entering import APPROVERS, EVIDENCE, Committed, approvers, evidence_name, read_approvals, unfit
from mainspring.kernel.errors import InvalidValue
from mainspring.security.signing import key_id
from mainspring.security.statements import StatementRefused, open_statement

TRUST = "trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit on the way from base to tip, its first parent ("" for a root), and its time (UTC microseconds)."""

    commit: str
    parent: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """One digest that entered an environment. against: what forbids it. emergency: why it was let in all the same."""

    commit: str
    environment: str
    version: int
    how: str
    against: tuple[str, ...] = ()
    emergency: str = ""

    @property
    def refused(self) -> bool:
        """Tell whether the commit must not be let in."""
        return bool(self.against) and not self.emergency


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPorts:
    """What judging reads. base: where rules and keys are read. at: the files as of a commit."""

    base: str
    steps: Sequence[Step]
    at: Callable[[str], Committed]


def judge_entries(entrances: Sequence[Entrance], ports: EntryPorts) -> list[Entered]:
    """Return every entry of the range, oldest first."""
    found: list[Entered] = []
    for step in ports.steps:
        for entrance in entrances:
            found.extend(_judge(step, entrance, ports))
    return found


def _judge(step: Step, entrance: Entrance, ports: EntryPorts) -> list[Entered]:
    environment = entrance.environment
    try:
        old = ports.at(step.parent).read(environment)[0] if step.parent else None
    except (InvalidRelease, InvalidValue):
        old = None  # whatever stood there could not serve, so everything enters
    try:
        new = ports.at(step.commit).read(environment)[0]
    except (InvalidRelease, InvalidValue) as error:
        return [_entered(step, environment, 0, "its release file cannot be read", (error.what,))]
    if new == old:
        return []
    if new is None:
        return [_entered(step, environment, 0, "its release file is removed", ("an environment must not lose it",))]
    versions = {new.champion.digest: new.champion.version}
    if new.challenger is not None:
        versions[new.challenger.digest] = new.challenger.version
    coming = digests_of(new) - digests_of(old)
    log = ports.at(step.parent).log(environment) if coming and step.parent else []
    if coming and _goes_back(log, new):
        return [_entered(step, environment, new.champion.version, "roll-back to the last healthy content")]
    return [_weigh(step, entrance, (versions[digest], digest), new.model, log, ports) for digest in sorted(coming)]


def _weigh(
    step: Step, entrance: Entrance, who: tuple[int, str], model: str, log: Sequence[Logged], ports: EntryPorts
) -> Entered:
    (version, digest), environment = who, entrance.environment
    files, keyring = ports.at(step.commit), ports.at(ports.base)
    people = approvers(environment, keyring)
    trusted = {key_id(pem): pem for name, pem in keyring.folder(environment, TRUST).items() if name.endswith(".pem")}
    data = files.folder(environment, EVIDENCE).get(evidence_name(digest).removeprefix(f"{EVIDENCE}/"))
    if data is None:
        return _entered(step, environment, version, "without evidence", ("it was not promoted by mainspring promote",))
    try:
        facts, signer = open_statement(data, EVIDENCE, {**trusted, **{key: pem for key, (_, pem) in people.items()}})
    except StatementRefused as error:
        hint = f"{error.what}; keys count from environments/{environment}/{TRUST} and {APPROVERS} at the base"
        return _entered(step, environment, version, "with evidence that does not hold", (hint,))
    wanted = Wanted(
        environment=environment, model=model, version=version, digest=digest, entry=entry_of(log, digest), at=step.at,
        movers=frozenset({signer, *_texts(facts, "movers")}),
    )  # fmt: skip
    if any(facts.get(name) != getattr(wanted, name) for name in ("environment", "model", "version", "digest", "entry")):
        return _entered(step, environment, version, "with evidence of another entry", ("promote it again",))
    approvals, spoilt = read_approvals(wanted, files, people)
    approved = counted(wanted, approvals)
    judged = _gate(facts)
    made = facts.get("made")
    own = unfit(entrance, version, facts.get("gate"), made if isinstance(made, dict) else None)
    failed = [f"version {version} did not pass its gate"] if judged is False else []
    against = [*failed, *own, *objections(entrance, wanted, _standing(step, entrance, facts, ports), approved)]
    how = f"approved by {', '.join(approved)}" if approved else "without approvals"
    return Entered(
        commit=step.commit, environment=environment, version=version, how=how,
        against=(*against, *(spoilt if against else ())),
        emergency="" if judged is False else str(facts.get("emergency", "")),
    )  # fmt: skip


def _gate(facts: Mapping[str, Any]) -> bool | None:
    """Tell whether the gate passed, as the evidence says; None: nothing judged it. A failed one has no emergency."""
    found = facts.get("gate")
    if found is None:
        return None
    verdict = found.get("verdict") if isinstance(found, dict) else None
    return isinstance(verdict, dict) and verdict.get("passed") is True


def _standing(step: Step, entrance: Entrance, facts: Mapping[str, Any], ports: EntryPorts) -> Standing | None:
    """Return how the digest stood in the rung before: its release by git, the rest as the evidence says."""
    if not entrance.earlier or not step.parent:
        return None
    said = facts.get("from") or {}
    since = said.get("since")
    return Standing(
        environment=entrance.earlier, release=ports.at(step.parent).read(entrance.earlier)[0],
        since=since if isinstance(since, int) else None, troubles=tuple(_texts(said, "troubles")),
    )  # fmt: skip


def _goes_back(log: Sequence[Logged], new: Release) -> bool:
    """Tell whether `new` is what a roll-back would restore."""
    try:
        healthy = last_healthy(log)
    except ReleaseRefused:
        return False
    return new.challenger is None and new.champion == healthy.champion


def _texts(facts: Mapping[str, Any], name: str) -> list[str]:
    found = facts.get(name)
    return [str(item) for item in found] if isinstance(found, list) else []


def _entered(step: Step, environment: str, version: int, how: str, against: tuple[str, ...] = ()) -> Entered:
    return Entered(commit=step.commit, environment=environment, version=version, how=how, against=against)
