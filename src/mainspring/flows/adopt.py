"""Adopt a model that exists: audit its bytes, give its graph a contract, sign, number, and tell ledger and mirror.

Nothing is fitted and nothing is judged: an adopted model may be the first champion of an environment, and later
candidates are compared with it. Killed anywhere and run again, it ends the same: a digest has one version, one event.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mainspring.deliver.registry import Registry, register
from mainspring.develop import adoption, evidence
from mainspring.develop.adoption import Declared, Graphs, Original
from mainspring.develop.errors import ImportRefused
from mainspring.develop.ports import Mirrored, RunMirror, Scorer
from mainspring.flows.score import times_of
from mainspring.kernel.contract import Contract, Input
from mainspring.kernel.digests import canonical_json, digest_bytes
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.events import Draft, Event, Ledger
from mainspring.kernel.times import Clock
from mainspring.observe.references import reference_profile
from mainspring.security.artifacts import audit
from mainspring.stats.columns import Columns, Floats

IMPORT = "import"
MAX_ROWS = 50_000
TOLERANCE = 1e-6
MIN_REFERENCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model offered for adoption.

    model: the project's name. source: where it came from, for people. data: its bytes. sample: (file name, bytes)
    of rows to record, or None to make some. reference: inputs -> rows that the model should see (with `asked_at`),
    from which its reference profile is learnt; None: it has none, and its drift is not watched. ask, definitions:
    the project's, as a contract keeps them.
    """

    model: str
    source: str
    data: bytes
    declared: Declared
    sample: tuple[str, bytes] | None
    ask: Mapping[str, str]
    definitions: Mapping[str, Any]
    actor: str
    reason: str = ""
    reference: Callable[[Sequence[Input]], Columns] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptPorts:
    """What an adoption needs. scorer: the engine that will serve. mirror: None where nobody wants one."""

    graphs: Graphs
    scorer: Callable[[bytes, Sequence[Input]], Scorer]
    registry: Registry
    ledger: Ledger
    clock: Clock
    mirror: RunMirror | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A registered model. scores: what it answers its recorded sample. unknown: inputs that are no features here."""

    digest: str
    version: int
    inputs: tuple[Input, ...]
    scores: tuple[float, ...]
    unknown: tuple[str, ...]
    event: Event
    unmirrored: str = ""


def adopt(offer: Offer, ports: AdoptPorts) -> Adopted:
    """Register the model. Raises `ArtifactRefused` before anything is parsed, `ImportRefused` if it does not hold."""
    audit("model.onnx", offer.data)
    original = ports.graphs(offer.data, offer.declared)
    sample = _sample(offer, original.inputs)
    model = original.adapted(sample)
    scorer = ports.scorer(model, original.inputs)
    scores = _checked(original, scorer, sample)
    contract = Contract(
        model=offer.model, inputs=original.inputs, output=original.output, ask=offer.ask,
        definitions=offer.definitions, limits={"rows": MAX_ROWS}, sample=adoption.recorded(sample, scores),
    )  # fmt: skip
    files = {"model.onnx": model, "contract.json": contract.to_bytes()} | _profile(offer, original.inputs, scorer)
    found = register(offer.model, files, ports.registry)
    told = {"source": offer.source, "artifact": digest_bytes(offer.data), "inputs": len(original.inputs)}
    ports.registry.models.attest(found.digest, IMPORT, canonical_json(told))
    event = _told(offer, found.digest, found.version, told, ports)
    return Adopted(
        digest=found.digest, version=found.version, inputs=original.inputs, scores=tuple(scores.tolist()),
        unknown=_unknown(original.inputs, offer.definitions), event=event,
        unmirrored=_show(mirrored_import(offer.model, found.digest, found.version, canonical_json(told)), model, ports),
    )  # fmt: skip


def mirrored_import(model: str, digest: str, version: int, told: bytes) -> Mirrored:
    """Return an adopted model as a tracking server shows it. told: as attested under `IMPORT`."""
    said = json.loads(told)
    name = f"import-{digest.removeprefix('sha256:')[:16]}"
    return Mirrored(
        run=name, model=model, digest=digest, version=version, metrics={}, files={"import.json": told},
        params={"source": str(said["source"]), "artifact": str(said["artifact"])},
        tags={
            "mainspring.digest": digest, "mainspring.version": str(version), "mainspring.run": name,
            "mainspring.reason": "imported",
        },
    )  # fmt: skip


def _sample(offer: Offer, inputs: Sequence[Input]) -> Columns:
    if offer.sample is None:
        return adoption.made_sample(inputs)
    name, data = offer.sample
    return adoption.read_sample(name, data, inputs)


def _profile(offer: Offer, inputs: Sequence[Input], scorer: Scorer) -> dict[str, bytes]:
    """Return the reference profile as a file of the model, or no file where no rows were offered."""
    if offer.reference is None:
        return {}
    rows = offer.reference(inputs)
    at = times_of(rows)
    missing = [item.name for item in inputs if item.name not in rows]
    if at is None or missing or len(at) < MIN_REFERENCE:
        raise ImportRefused(
            f"the reference has no {', '.join(missing[:3])}"
            if missing
            else "the reference has too few rows, or no asked_at",
            fix=f"give at least {MIN_REFERENCE} rows with every input and the time of each ask in asked_at",
        )
    columns = {item.name: rows[item.name] for item in inputs}
    scores = np.asarray(scorer(columns), np.float64)
    adoption.check_scores(scores, "the reference")
    return {"profile.json": reference_profile(columns, at, scores).to_bytes()}


def _checked(original: Original, scorer: Scorer, sample: Columns) -> Floats:
    """Return the sample's scores if they are probabilities and what serves answers as the original does."""
    for columns, what in ((sample, "the sample"), (adoption.zeros(original.inputs), "a row of zeros")):
        adoption.check_scores(original.score(columns), what)
    try:
        scores = scorer(sample)
    except MainspringError:
        raise
    except Exception as error:  # an engine has exceptions of its own
        what = f"the adapted graph fails: {str(error).splitlines()[0][:200]}"
        raise ImportRefused(what, fix="give rows that it can answer with --sample") from error
    gap = evidence.equality(original.score(sample), scores)
    if gap["worst"] is None or gap["worst"] > TOLERANCE:
        raise ImportRefused(f"the adapted graph is {gap['worst']} off the original", fix="export the model again")
    return np.asarray(scores, np.float64)


def _told(offer: Offer, digest: str, version: int, told: Mapping[str, Any], ports: AdoptPorts) -> Event:
    for event in ports.ledger.read(kind="model.imported", subject=digest):
        return event
    body = {"model": offer.model, "digest": digest, "version": version, "reason": offer.reason, **told}
    draft = Draft(kind="model.imported", subject=digest, actor=offer.actor, body=body)
    return ports.ledger.append([draft], at=ports.clock.now())[0]


def _show(mirrored: Mirrored, model: bytes, ports: AdoptPorts) -> str:
    if ports.mirror is None:
        return ""
    try:
        ports.mirror.record(replace(mirrored, onnx=model))
    except MainspringError as error:
        return error.what
    return ""


def _unknown(inputs: Sequence[Input], definitions: Mapping[str, Any]) -> tuple[str, ...]:
    known: set[str] = set()
    for view in definitions.get("views", ()):
        pairs = [*view.get("derive", ()), *view.get("aggregates", ())]
        known.update(f"{view['name']}.{column}" for column in [*view.get("columns", ()), *(name for name, _ in pairs)])
    return tuple(item.name for item in inputs if item.name not in known)
