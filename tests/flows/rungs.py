"""A project with dev, staging and production, people with keys, and models that are signed but never fitted."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.flows.small_project import START
from tests.unit.app.small_workspace import FILE, NAME

from mainspring.adapters.git.commands import run_git
from mainspring.adapters.git.repository import init_repository
from mainspring.app.promotion import approve_version, promote_onwards
from mainspring.app.workspace import Workspace, open_workspace
from mainspring.deliver.ports import GATE
from mainspring.deliver.registry import Registry, register
from mainspring.deliver.release import Mode, Share
from mainspring.flows.approving import Approved
from mainspring.flows.entering import Request
from mainspring.flows.moves import Moved
from mainspring.kernel.digests import canonical_json
from mainspring.kernel.times import DAY, SECOND, FixedClock
from mainspring.security.keys import new_key, public_of

RUNGS = """
environments:
  local: {}
  dev: {}
  staging: {soak: 2d}
  production:
    approvals: 2
    freeze: [{from: fri 16:00, to: mon 08:00, reason: nobody is there}]
"""
PEOPLE = ("ann", "bob", "cat")


@dataclass
class Rungs:
    """The project; the clock stands where a test puts it."""

    root: Path
    clock: FixedClock = field(default_factory=lambda: FixedClock(START + 56 * DAY))
    keys: dict[str, bytes] = field(default_factory=dict)

    def at(self, environment: str) -> Workspace:
        return open_workspace(self.root, environment=environment, clock=self.clock)

    def model(self, number: int, *, passed: bool | None = True) -> str:
        """Register a model. passed: what its gate said; None: nothing judged it."""
        at = self.at("local")
        ports = Registry(models=at.models, keys=at.keys, versions=at.versions)
        digest = register(NAME, {"contract.json": b"%d" % number}, ports).digest
        if passed is not None:
            at.models.attest(digest, GATE, canonical_json({"passed": passed, "reasons": []}))
        return digest

    def promote(
        self, environment: str, which: int | str | None = None, *, emergency: str = "", came_from: str = ""
    ) -> Moved:
        request = Request(emergency=emergency, came_from=came_from)
        return promote_onwards(self.at(environment), which, request=request, mode=None, share=None, reason="a test")

    def trial(self, environment: str, which: int, share: Share | None = None) -> Moved:
        mode: Mode = "ab" if share else "canary"
        return promote_onwards(
            self.at(environment), which, request=Request(), mode=mode, share=share, reason="a trial"
        )  # fmt: skip

    def approve(
        self, who: str, which: int | str, environment: str = "production", *, lasts: int = 14 * DAY
    ) -> Approved:
        place = self.root.parent / f"{who}.pem"
        place.write_bytes(self.keys[who])
        return approve_version(self.at(environment), which, key=place, lasts=lasts, reason="")

    def soaked(self, number: int) -> str:
        """Register a model and bring it through dev and staging; the clock goes on for the soak."""
        digest = self.model(number)
        self.promote("dev", number)
        self.promote("staging")
        self.clock.at += 2 * DAY
        return digest


def make_rungs(root: Path, text: str = RUNGS) -> Rungs:
    """Write and commit the project, with its approvers and the machine's own key trusted everywhere."""
    root.mkdir()
    (root / ".gitignore").write_text(".mainspring/\n")
    (root / "mainspring.yaml").write_text(FILE.replace("environments: {local: {}}\n", text), "utf-8")
    found = Rungs(root, keys={name: new_key() for name in PEOPLE})
    at = found.at("local")
    own = public_of(at.keys.signing_key())
    for environment in ("dev", "staging", "production"):
        folder = root / "environments" / environment
        (folder / "trust").mkdir(parents=True)
        (folder / "approvers").mkdir()
        (folder / "trust" / "machine.pem").write_bytes(own)
        for name, key in found.keys.items():
            (folder / "approvers" / f"{name}.pem").write_bytes(public_of(key))
    init_repository(root, at=START)
    return found


def git(root: Path, *args: str, at: int = 0) -> str:
    """Return what git printed. at: when it happens, UTC microseconds; 0: now."""
    when = {name: f"@{at // SECOND} +0000" for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE")} if at else {}
    return run_git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", *args, env=when).decode()
