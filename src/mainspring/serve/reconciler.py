"""Follow the release: load, verify and check the versions it names beside traffic, then switch in one step.

A version that fails keeps the old state serving and is reported; a challenger that fails to load leaves the champion
alone in front (a candidate may get less than the file says, never more).
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mainspring.kernel.errors import MainspringError
from mainspring.serve.bandit import Rewards, bandit_weight
from mainspring.serve.cache import ScoreCache
from mainspring.serve.errors import ModelRefused
from mainspring.serve.plane import Plane
from mainspring.serve.ports import Models, Releases, RewardSource, Routing
from mainspring.serve.versions import Serving, Version, checked, serving_of

_log, _security = logging.getLogger("mainspring.inference"), logging.getLogger("mainspring.security")
_TAMPERED = ("signature.", "manifest.", "artifact.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What the last look at the release found.

    commit: the release commit now served, or "". failures: digest or "release" -> why it is not served.
    """

    commit: str = ""
    changed: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)


class Reconciler:
    """Brings a plane to the present release. Safe to call from several threads; one look at a time.

    switch: runs the swap where the plane lives (the serving thread); by default at once. rewards: what a bandit learns
    from, or None. cache: keeps scores of the versions, or None.
    """

    def __init__(
        self,
        plane: Plane,
        releases: Releases,
        models: Models,
        switch: Callable[[Callable[[], None]], None] | None = None,
        rewards: RewardSource | None = None,
        cache: ScoreCache | None = None,
    ) -> None:
        self._plane, self._releases, self._models = plane, releases, models
        self.switch: Callable[[Callable[[], None]], None] = switch or (lambda act: act())
        self._rewards, self.cache = rewards, cache
        self._learnt: Rewards | None = None
        self._lock = threading.Lock()
        self._seen: Routing | None = None
        self._unloaded = False
        self.last = Reconciled()
        self.loads = 0

    def look(self, *, again: bool = False) -> Reconciled:
        """Read the release now and serve it if it changed; `again` also retries what failed before."""
        with self._lock:
            if self._unloaded:
                return self._report(False, {})
            try:
                routing = self._releases.current()
            except (MainspringError, OSError) as error:
                return self._report(False, {"release": _reason(error)})
            if routing is None:
                return self._report(False, {})
            self._learn(routing)
            if routing == self._seen and not (again and self.last.failures):
                return self._report(False, {k: v for k, v in self.last.failures.items() if k != "release"})
            self._seen, self._learnt = routing, None
            return self._follow(routing)

    def _learn(self, routing: Routing) -> None:
        """Give a bandit's challenger the weight that the outcomes so far call for."""
        challenger = routing.challenger
        if challenger is None or challenger.mode != "bandit" or self._rewards is None:
            return
        rewards = self._rewards.current(routing.champion.digest, challenger.digest)
        if rewards is None or (rewards == self._learnt and routing == self._seen):
            return
        weight = bandit_weight(rewards, routing.rollout_id, floor=challenger.floor, most=challenger.weight)
        if routing == self._seen:  # else the swap to this routing comes first, and the next look chooses
            self._learnt = rewards
            self.switch(lambda: self._plane.choose(weight))

    @property
    def unloaded(self) -> bool:
        """Tell whether somebody asked for nothing to be served here."""
        return self._unloaded

    def unload(self) -> None:
        """Serve nothing, whatever the release says, until `load`; requests under way are answered."""
        with self._lock:
            self._unloaded, self._seen = True, None
            self.switch(lambda: self._plane.swap(None))
            self._report(True, {})

    def load(self) -> Reconciled:
        """Follow the release again, and look now."""
        self._unloaded = False
        return self.look(again=True)

    def _follow(self, routing: Routing) -> Reconciled:
        failures: dict[str, str] = {}
        champion = self._version(routing.champion.version, routing.champion.digest, failures)
        if champion is None:
            return self._report(False, failures)
        challenger, wanted = None, routing.challenger
        if wanted is not None:
            challenger = self._version(wanted.version, wanted.digest, failures)
        try:
            serving = self._joined(routing, champion, challenger, failures)
        except MainspringError as error:
            return self._report(False, {**failures, champion.digest: _reason(error)})
        self.switch(lambda: self._plane.swap(serving))
        return self._report(True, failures)

    def _joined(
        self, routing: Routing, champion: Version, challenger: Version | None, failures: dict[str, str]
    ) -> Serving:
        if champion.contract.model != routing.model:
            raise ModelRefused(f"the champion is a model of {champion.contract.model!r}", fix="promote the right model")
        try:
            return serving_of(routing, champion, challenger, self._plane.rules.max_rows)
        except ModelRefused as error:
            if challenger is None:
                raise
            failures[challenger.digest] = _reason(error)
            return serving_of(routing, champion, None, self._plane.rules.max_rows)

    def _version(self, number: int, digest: str, failures: dict[str, str]) -> Version | None:
        serving = self._plane.serving
        for loaded in serving.versions() if serving else ():
            if (loaded.digest, loaded.number) == (digest, number):
                return loaded
        try:
            version = checked(number, digest, self._models.open(digest), self.cache)
        except (MainspringError, OSError, ValueError, RuntimeError) as error:
            failures[digest] = _reason(error)
            _tell(number, digest, error)
            return None
        self.loads += 1
        return version

    def _report(self, changed: bool, failures: Mapping[str, str]) -> Reconciled:
        serving = self._plane.serving
        commit = serving.routing.commit if serving else ""
        self.last = Reconciled(commit=commit, changed=changed, failures=failures)
        return self.last


def _tell(number: int, digest: str, error: Exception) -> None:
    """Log why a version may not serve; what was tampered with is an event for whoever watches over security."""
    tampered = isinstance(error, MainspringError) and error.code.startswith(_TAMPERED)
    log = _security if tampered else _log
    log.error("version %d (%s) may not serve: %s", number, digest, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, MainspringError):
        return f"{error.what} [{error.code}]"[:300]
    return f"{type(error).__name__}: {error}"[:300]
