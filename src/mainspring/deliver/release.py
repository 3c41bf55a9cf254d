"""The desired state of an environment: which model digests serve, with what traffic. Pure: records in, records out.

`Release` is `environments/<env>/release.yaml` as a record. The transitions below are the only ways it changes.
Start at `Release`, then `promote_to_canary`, `finish`, `abort` and `last_healthy`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from mainspring.kernel.digests import checked_digest
from mainspring.kernel.errors import InvalidValue, Refused
from mainspring.kernel.ids import checked_name

if TYPE_CHECKING:
    from mainspring.deliver.rollout import RolloutPlan

RELEASE_SCHEMA = 1
ROLLS_BACK = "Mainspring-Rolls-Back"
_ALMOST_ALL = 0.999_999
_ALL = 100
Mode = Literal["canary", "shadow", "ab", "bandit"]


class ReleaseRefused(Refused):
    """A release may not change that way now."""

    code = "release.refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The version that answers by default."""

    version: int
    digest: str

    def __post_init__(self) -> None:
        _check_version(self.version, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """The version on trial. weight: percent of askers it answers, 0 to 100 (0 for a shadow).

    floor: percent that a bandit gives it at least, from 0 to `weight`, which is then the most.
    """

    version: int
    digest: str
    weight: int
    mode: Mode = "canary"
    floor: int = 0

    def __post_init__(self) -> None:
        _check_version(self.version, self.digest)
        checked_weight(self.weight, low=0)
        if checked_weight(self.floor, low=0) > (self.weight if self.mode == "bandit" else 0):
            raise InvalidValue(
                f"a floor of {self.floor} in mode {self.mode}", fix="only a bandit has one, up to weight"
            )
        if self.mode not in get_args(Mode):
            raise InvalidValue(f"mode {self.mode!r} is not known", fix=f"use one of: {', '.join(get_args(Mode))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the trial goes. steps: rising percents, the last 100. hold: microseconds at a step.

    abort: `min_requests` (int), `error_rate` (fraction), `latency_p99` (microseconds), `quality` (bool); all optional.
    """

    steps: tuple[int, ...]
    hold: int
    abort: Mapping[str, float | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in pairwise((0, *self.steps)))
        if not rising or self.steps[-1:] != (100,):
            raise InvalidValue(f"steps {list(self.steps)} must rise from above 0 to 100", fix="steps: [5, 25, 100]")
        if self.hold <= 0:
            raise InvalidValue(f"hold of {self.hold} microseconds cannot be", fix="hold: 6h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What one environment should serve."""

    model: str
    champion: Champion
    challenger: Challenger | None = None
    plan: Plan | None = None

    def __post_init__(self) -> None:
        checked_name(self.model, "model")
        if self.challenger and self.challenger.digest == self.champion.digest:
            raise InvalidValue("champion and challenger are one model", fix="name another challenger")


class Share(NamedTuple):
    """What an A/B test or a bandit gives the challenger: percent of askers (at most), and a bandit's least percent."""

    weight: int
    floor: int = 0


class Logged(NamedTuple):
    """One commit of a release file: its hash, what it said, and its message's trailers."""

    commit: str
    release: Release
    trailers: Mapping[str, str]


def plan_of(rollout: "RolloutPlan") -> Plan:
    """Return the part of a rollout plan that the release file keeps."""
    abort: dict[str, float | int | bool] = {
        "min_requests": rollout.min_requests, "error_rate": rollout.error_rate, "quality": rollout.quality,
    }  # fmt: skip
    if rollout.latency_p99_us is not None:
        abort["latency_p99"] = rollout.latency_p99_us
    return Plan(steps=tuple(rollout.steps), hold=rollout.hold, abort=abort)


def rollout_of(plan: Plan) -> "RolloutPlan":
    """Return the plan that `deliver.rollout` decides by; what the file leaves out does not abort.

    (A challenger that fails on every row is aborted all the same.)
    """
    from mainspring.deliver.rollout import RolloutPlan  # here, so that who only reads release files loads no statistics

    latency = plan.abort.get("latency_p99")
    return RolloutPlan(
        steps=plan.steps,
        hold=plan.hold,
        min_requests=int(plan.abort.get("min_requests", 1)),
        error_rate=float(plan.abort.get("error_rate", _ALMOST_ALL)),
        latency_p99_us=None if latency is None else int(latency),
        quality=bool(plan.abort.get("quality", False)),
    )


def promote(release: Release | None, model: str, version: int, digest: str, plan: Plan | None = None) -> Release:
    """Return the release with this version answering everything. Refused while a rollout is running."""
    if release is not None:
        _check_model(release, model)
        _check_idle(release, digest)
    kept = plan or (release.plan if release else None)
    return Release(model=model, champion=Champion(version=version, digest=digest), plan=kept)


def promote_to_canary(
    release: Release, version: int, digest: str, plan: Plan | None = None, mode: Mode = "canary",
    share: Share | None = None,
) -> Release:  # fmt: skip
    """Return the release with this version on trial.

    A canary begins at the plan's first step and a shadow answers no one; an A/B test or a bandit keeps its `share`
    (by default the plan's first step).
    """
    _check_idle(release, digest)
    chosen = plan or release.plan
    if chosen is None:
        raise ReleaseRefused("a canary needs a plan", fix="give release.canary in the project file")
    if release.champion.digest == digest:
        raise ReleaseRefused(f"version {version} is the champion already", fix="promote another version")
    weight, floor = _share(mode, share, chosen)
    challenger = Challenger(version=version, digest=digest, weight=weight, mode=mode, floor=floor)
    return replace(release, challenger=challenger, plan=chosen)


def advance(release: Release, weight: int) -> Release:
    """Return the release with more traffic for the challenger."""
    challenger = _running(release)
    if checked_weight(weight) < challenger.weight:
        raise ReleaseRefused(f"weight {weight} is less than {challenger.weight}", fix="abort the rollout instead")
    return replace(release, challenger=replace(challenger, weight=weight))


def finish(release: Release) -> Release:
    """Return the release with the challenger as champion."""
    challenger = _running(release)
    champion = Champion(version=challenger.version, digest=challenger.digest)
    return replace(release, champion=champion, challenger=None)


def abort(release: Release) -> Release:
    """Return the release without its challenger."""
    _running(release)
    return replace(release, challenger=None)


def last_healthy(log: Sequence[Logged]) -> Release:
    """Return what to go back to, from a release file's history (newest first).

    A running trial is left first. Otherwise champions form a stack: a promotion pushes one, a roll-back pops down
    to what it restored; so rolling back twice goes two versions back and never restores the bad one.
    """
    if log and log[0].release.challenger is not None:
        return replace(log[0].release, challenger=None)
    stack: list[Release] = []
    for entry in reversed(log):
        _step(stack, entry)
    if len(stack) < 2:
        raise ReleaseRefused("there is no earlier version to go back to", fix="promote another version instead")
    return stack[-2]


def checked_weight(weight: object, low: int = 1) -> int:
    """Return `weight` if it is a whole percent from `low` to 100."""
    if not isinstance(weight, int) or isinstance(weight, bool) or not low <= weight <= 100:
        raise InvalidValue(f"weight {str(weight)[:40]!r} cannot be", fix=f"a weight is a whole number, {low} to 100")
    return weight


def _step(stack: list[Release], entry: Logged) -> None:
    content = replace(entry.release, challenger=None)
    digests = [release.champion.digest for release in stack]
    if ROLLS_BACK in entry.trailers and content.champion.digest in digests:
        while stack[-1].champion.digest != content.champion.digest:
            stack.pop()
    if not stack or stack[-1].champion.digest != content.champion.digest:
        stack.append(content)


def _share(mode: Mode, share: Share | None, plan: Plan) -> Share:
    if mode in ("canary", "shadow"):
        if share is not None:
            rule = "a canary's weight follows its plan" if mode == "canary" else "a shadow answers no one"
            raise InvalidValue(f"a weight or floor in mode {mode}: {rule}", fix="leave them out, or use ab or bandit")
        return Share(plan.steps[0] if mode == "canary" else 0)
    share = share or Share(plan.steps[0])
    if checked_weight(share.weight) == _ALL:
        raise InvalidValue(f"a weight of 100 in mode {mode} leaves nothing to compare", fix="give 1 to 99")
    return share


def _running(release: Release) -> Challenger:
    if release.challenger is None:
        raise ReleaseRefused("no rollout is running", fix="see: mainspring status")
    return release.challenger


def _check_idle(release: Release, digest: str) -> None:
    if release.challenger is not None and release.challenger.digest != digest:
        raise ReleaseRefused(
            f"a rollout of version {release.challenger.version} is running",
            fix="wait for its verdict, or: mainspring rollback",
        )


def _check_model(release: Release, model: str) -> None:
    if release.model != model:
        raise ReleaseRefused(f"this release file is of {release.model!r}, not {model!r}", fix="use its own project")


def _check_version(version: object, digest: str) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidValue(f"version {str(version)[:40]!r} cannot be", fix="a version is a whole number from 1")
    checked_digest(digest)
