"""What a training tells the ledger, each thing once: a repeated call returns the event that is already there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.deliver.gates import Verdict
from mainspring.develop.runs import Run
from mainspring.develop.steps import Outcome
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.events import Draft, Event, Ledger
from mainspring.kernel.times import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapters:
    """The events of one run."""

    run: Run
    actor: str
    ledger: Ledger
    clock: Clock

    def started(self, cause: Sequence[int], expected_head: int | None = None) -> Event:
        """Tell that the run began, and why; `Conflict` if the ledger no longer ends at `expected_head`."""
        run = self.run
        body = {
            "model": run.model, "at": run.at, "snapshot": run.snapshot, "code": run.code, "commit": run.commit,
            "dirty": run.dirty, "champion": run.champion, "reason": run.reason,
        }  # fmt: skip
        return self._once("run.started", body, cause=cause, expected_head=expected_head)

    def finished_step(self, outcome: Outcome) -> Event:
        """Tell that a step's outcome is there, made now or reused. Once for (run, step, key)."""
        body = {
            "model": self.run.model, "step": outcome.step, "key": outcome.key, "reused": outcome.reused,
            "made_by": outcome.run, "seconds": outcome.seconds, "outputs": dict(outcome.outputs),
        }  # fmt: skip
        return self._once("step.finished", body, same=("step", "key"))

    def judged(self, verdict: Verdict, digest: str, version: int, cause: Sequence[int]) -> Event:
        """Tell the gates' verdict with every reason."""
        kind = "gate.passed" if verdict.passed else "gate.refused"
        body = {"model": self.run.model, "digest": digest, "version": version, **verdict.to_json()}
        return self._once(kind, body, subject=digest, same=("digest",), cause=cause)

    def finished(
        self, digest: str, version: int, verdict: Verdict, seconds: Mapping[str, float], cause: Sequence[int]
    ) -> Event:
        """Tell that the candidate is registered under a version."""
        body = {
            "model": self.run.model, "digest": digest, "version": version, "passed": verdict.passed,
            "reason": self.run.reason, "seconds": dict(seconds),
        }  # fmt: skip
        return self._once("run.finished", body, same=("digest",), cause=cause)

    def failed(self, error: MainspringError) -> Event:
        """Tell that the run stopped, every time it does."""
        body = {"model": self.run.model, "code": error.code, "what": error.what, "fix": error.fix}
        return self._append("run.failed", f"run:{self.run.id}", body, ())

    def not_mirrored(self, error: MainspringError) -> Event:
        """Warn that the tracking server does not show the run; nothing else depends on it."""
        body = {"model": self.run.model, "code": error.code, "what": error.what, "fix": error.fix}
        return self._append("run.unmirrored", f"run:{self.run.id}", body, ())

    def _once(
        self, kind: str, body: Mapping[str, Any], *, subject: str = "", same: Sequence[str] = (),
        cause: Sequence[int] = (), expected_head: int | None = None,
    ) -> Event:  # fmt: skip
        for event in self.ledger.read(kind=kind, run=self.run.id):
            if all(event.body.get(name) == body[name] for name in same):
                return event
        return self._append(kind, subject or f"run:{self.run.id}", body, cause, expected_head)

    def _append(
        self, kind: str, subject: str, body: Mapping[str, Any], cause: Sequence[int], expected_head: int | None = None
    ) -> Event:  # fmt: skip
        draft = Draft(
            kind=kind, subject=subject, actor=self.actor, run=self.run.id, cause=tuple(cause), body=dict(body)
        )
        return self.ledger.append([draft], at=self.clock.now(), expected_head=expected_head)[0]
