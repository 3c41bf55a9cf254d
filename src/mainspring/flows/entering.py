"""Who may enter an environment: gather what `deliver.promotion` judges, refuse, or write the papers.

The papers of a promotion are an evidence file beside the release (`evidence/<digest>.json`, signed by who promotes),
trailers of the commit, and with them the fields of its ledger event. Approvals are `approvals/<digest>-<key>.json`,
signed by keys that are committed as `approvers/<name>.pem`: the file's name is the person's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from mainspring.deliver.freezes import frozen
from mainspring.deliver.ports import GATE, SIGNATURE, Keys, ModelStore, Papers, ReleaseFiles
from mainspring.deliver.promotion import (
    Approval,
    Entrance,
    PromotionRefused,
    Standing,
    Wanted,
    counted,
    entry_of,
    objections,
    stood,
)
from mainspring.deliver.reports import ReportFile
from mainspring.flows.moves import PAPERS, Admitted, Candidate, Move
from mainspring.flows.steps.register_model import RUN
from mainspring.kernel.digests import digest_bytes
from mainspring.kernel.errors import InvalidValue
from mainspring.kernel.events import Event, Ledger
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import key_id, public_of, verify
from mainspring.security.statements import StatementRefused, open_statement, sign_statement

APPROVAL, EVIDENCE = "approval", "evidence"
APPROVALS, APPROVERS = "approvals", "approvers"


class Committed(ReleaseFiles, Papers, Protocol):
    """Release files and the papers beside them, in one repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What who promotes adds. emergency: why order, soak, approvals and freezes are skipped, or "".

    came_from: the environment that it comes from, or "": the one before. image: serving image by digest, or "".
    reports: SBOM and scans. code: commit of the project's code.
    """

    emergency: str = ""
    came_from: str = ""
    image: str = ""
    reports: tuple[ReportFile, ...] = ()
    code: str = ""

    def __post_init__(self) -> None:
        if self.emergency and not self.emergency.strip():
            raise InvalidValue("an emergency without a reason", fix="say why: it goes on record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Judges one environment's entries. earlier: opens the ledger of the rung before."""

    entrance: Entrance
    files: Committed
    keys: Keys
    models: ModelStore
    earlier: Callable[[], Ledger]
    request: Request = Request()

    def __call__(self, move: Move, candidate: Candidate) -> Admitted:
        """Return the papers, or raise `PromotionRefused` with everything that is in the way."""
        signer = signer_of(candidate, self.models, self.keys.trusted(move.environment))
        mover = self._mover(move.environment)
        wanted = Wanted(
            environment=move.environment, model=move.model, version=candidate.version, digest=candidate.digest,
            entry=entry_of(self.files.log(move.environment), candidate.digest), at=move.at,
            movers=frozenset({signer, mover, move.actor}),
        )  # fmt: skip
        approvals, spoilt = read_approvals(wanted, self.files, approvers(move.environment, self.files))
        standing = self._standing(candidate.digest) if self.entrance.earlier else None
        approved = counted(wanted, approvals)
        asked, gate = self._asked(move), self._gate(candidate.digest)
        made = self._made(candidate.digest)
        against = [*unfit(asked, candidate.version, gate, made), *objections(asked, wanted, standing, approved)]
        if against and not self.request.emergency:
            raise PromotionRefused(
                f"version {candidate.version} may not enter {move.environment}: {'; '.join([*against, *spoilt])}",
                fix="settle that; in an emergency, and for everybody to see: --emergency REASON",
                frozen=len(against) == 1 and frozen(asked.freezes, wanted.at) is not None,
            )
        facts = {
            **asdict(replace(wanted, movers=frozenset())), "movers": sorted(wanted.movers), "actor": move.actor,
            "signed_by": signer, "commit": candidate.expected, "code": self.request.code,
            "gate": gate, "made": made, "image": self.request.image,
            "reports": [asdict(report) for report in self.request.reports], "approved_by": list(approved),
            "from": None if standing is None else _told(standing), "emergency": self.request.emergency,
            "skipped": against,
        }  # fmt: skip
        return self._papers(candidate.digest, facts)

    def _mover(self, environment: str) -> str:
        """Return the id of the key that signs the evidence; who reads it must know that key."""
        mover = key_id(public_of(self.keys.signing_key()))
        if mover not in known_keys(environment, self.files, self.keys):
            what = f"{environment} does not know the key of who promotes ({mover[:16]})"
            fix = f"commit its public key as environments/{environment}/{APPROVERS}/NAME.pem: mainspring keys list"
            raise PromotionRefused(what, fix=fix)
        return mover

    def _asked(self, move: Move) -> Entrance:
        """Return what is asked now: approvals and freezes of a proposal are judged when it is merged."""
        return replace(self.entrance, approvals=0, freezes=()) if move.proposed else self.entrance

    def _standing(self, digest: str) -> Standing:
        name = self.entrance.earlier
        release, commit = self.files.read(name)
        ledger = self.earlier()
        events = [*ledger.read(kind="release.*", subject=f"environment:{name}")]
        windows = ledger.read(kind="window.judged", subject=digest)
        events += [event for event in windows if event.body.get("environment", name) == name]
        told = [{"at": event.at, "kind": event.kind, "body": event.body} for event in sorted(events, key=_place)]
        return stood(told, Standing(environment=name, release=release, commit=commit), digest)

    def _gate(self, digest: str) -> dict[str, Any] | None:
        """Return the gate's verdict and the digest of its file, which lies beside the model."""
        verdict = self.models.evidence(digest, GATE)
        return None if verdict is None else {"digest": digest_bytes(verdict), "verdict": json.loads(verdict)}

    def _made(self, digest: str) -> dict[str, Any] | None:
        """Return what code the model was made from, as its run says; None for one that no run made."""
        run = self.models.evidence(digest, RUN)
        found = None if run is None else json.loads(run)
        return found and {"run": found["id"], "commit": found["commit"], "dirty": found["dirty"]}

    def _papers(self, digest: str, facts: Mapping[str, Any]) -> Admitted:
        name = evidence_name(digest)
        data = sign_statement(EVIDENCE, facts, self.keys.signing_key())
        came, by_kind = facts["from"], {report.kind: report.digest for report in self.request.reports}
        told = {
            "evidence": digest_bytes(data), "from": f"{came['environment']} {came['commit']}" if came else "",
            "approved_by": ", ".join(facts["approved_by"]), "gate": (facts["gate"] or {}).get("digest", ""),
            "image": facts["image"],
            "emergency": " ".join(self.request.emergency.split()), **by_kind,
        }  # fmt: skip
        return Admitted(trailers={PAPERS[key]: value for key, value in told.items() if value}, beside={name: data})


def unfit(
    entrance: Entrance, version: int, gate: Mapping[str, Any] | None, made: Mapping[str, Any] | None
) -> list[str]:  # fmt: skip
    """Return what forbids the entry in the model's own papers: no gate judged it, or nobody can see its code again.

    A first environment without approvals takes models of a dirty work tree, so that there is a place to try them.
    """
    found = [f"version {version} was not judged by a gate"] if gate is None else []
    if made and made.get("dirty") and (entrance.earlier or entrance.approvals):
        found.append(f"version {version} was made from a dirty work tree: commit the code, train again")
    return found


def signer_of(candidate: Candidate, models: ModelStore, trusted: Mapping[str, bytes]) -> str:
    """Return the id of the key that signed the model: whoever trained it."""
    bundle = models.evidence(candidate.digest, SIGNATURE) or b""
    return verify(bundle, manifest_of(candidate.files), trusted)


def evidence_name(digest: str) -> str:
    """Return the path of a digest's evidence below the environment's folder."""
    return f"{EVIDENCE}/{digest.removeprefix('sha256:')[:12]}.json"


def approval_name(digest: str, key: str) -> str:
    """Return the path of an approval below the environment's folder."""
    return f"{APPROVALS}/{digest.removeprefix('sha256:')[:12]}-{key[:12]}.json"


def approvers(environment: str, files: Papers) -> dict[str, tuple[str, bytes]]:
    """Return key id -> (name, public PEM) of everybody who may approve; what is no key is an error."""
    found = files.folder(environment, APPROVERS)
    people = {name.removesuffix(".pem"): pem for name, pem in found.items() if name.endswith(".pem")}
    return {key_id(pem): (name, pem) for name, pem in people.items()}


def known_keys(environment: str, files: Papers, keys: Keys) -> dict[str, bytes]:
    """Return key id -> public PEM of those whose evidence counts: signers of models, and approvers."""
    people = {key: pem for key, (_, pem) in approvers(environment, files).items()}
    return {**keys.trusted(environment), **people}


def read_approvals(
    wanted: Wanted, files: Papers, people: Mapping[str, tuple[str, bytes]]
) -> tuple[dict[str, Approval], list[str]]:
    """Return (`<name>#<key id>` -> approval of every file about the digest that holds, what is wrong with others)."""
    trusted = {key: pem for key, (_, pem) in people.items()}
    begins = approval_name(wanted.digest, "").removeprefix(f"{APPROVALS}/").removesuffix(".json")
    found: dict[str, Approval] = {}
    spoilt: list[str] = []
    for name, data in files.folder(wanted.environment, APPROVALS).items():
        if not name.startswith(begins):
            continue
        try:
            facts, key = open_statement(data, APPROVAL, trusted)
            found[f"{people[key][0]}#{key}"] = Approval(**facts)
        except (StatementRefused, InvalidValue, TypeError) as error:
            why = error.what if isinstance(error, StatementRefused | InvalidValue) else "it cannot be read"
            spoilt.append(f"{APPROVALS}/{name} does not count: {why}")
    return found, spoilt


def _told(standing: Standing) -> dict[str, Any]:
    """Return a standing as plain facts; the release itself is in the commit that they name."""
    return {
        "environment": standing.environment, "commit": standing.commit, "since": standing.since,
        "windows": standing.windows, "aborts": standing.aborts, "troubles": list(standing.troubles),
    }  # fmt: skip


def _place(event: Event) -> int:
    return event.seq
