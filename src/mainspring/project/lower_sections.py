"""From the project file as written to the records that the layers take: a function a section, every mistake collected.

A section is lowered when it, and the sections it reads, are right in themselves; so mistakes in one section do not
hide those in another. `load` raises them together.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mainspring.deliver.gates import ChampionGate, FairnessGate, FloorGate, Gate, LatencyGate, RobustnessGate
from mainspring.deliver.render.kubernetes import PUSHGATEWAY
from mainspring.deliver.render.subject import Network, Tracking, Vault
from mainspring.deliver.rollout import RolloutPlan
from mainspring.develop.runs import TrainingPlan
from mainspring.kernel.errors import MainspringError
from mainspring.kernel.times import format_duration, parse_duration
from mainspring.observe.plans import DriftRule, MonitoringPlan, RetrainPolicy
from mainspring.project import cron
from mainspring.project.data_models import RowFeature, WindowFeature
from mainspring.project.gate_models import (
    ChampionEntry,
    FairnessEntry,
    FloorEntry,
    GateEntry,
    LatencyEntry,
    RobustnessEntry,
)
from mainspring.project.lower_data import Features, Findings, lower_definitions, lower_expectations
from mainspring.project.lower_entry import lower_freezes, lower_options
from mainspring.project.lower_steps import lower_search, lower_steps
from mainspring.project.mistakes import Path
from mainspring.project.models import (
    AlertsSection,
    DeliverySection,
    EnvironmentSection,
    MonitoringSection,
    ReleaseSection,
    ReplicaRange,
    RetrainingSection,
    SecuritySection,
    TrainingSection,
)
from mainspring.project.settings import Alerts, Delivery, Environment, Security, Settings
from mainspring.project.validate import Checked

_T = TypeVar("_T")
_LOSSES = ("log_loss", "brier")


def survey(checked: Checked) -> tuple[Settings | None, Findings]:
    """Return the settings (None if anything is wrong) and every mistake that lies between sections."""
    found = Findings(known=checked.known, gates=checked.gates)
    parts: dict[str, Any] = {
        name: _lowered(checked.sections, needs, make, found) for name, (needs, make) in _SECTIONS.items()
    }
    if found.mistakes or not checked.whole or any(part is None for part in parts.values()):
        return None, found
    sections = checked.sections
    return Settings(
        name=sections["project"], description=sections["description"], owner=sections["owner"], **parts
    ), found  # fmt: skip


def _lowered(
    sections: Mapping[str, Any], needs: tuple[str, ...], make: Callable[..., _T], found: Findings
) -> _T | None:  # fmt: skip
    if not all(name in sections for name in needs):
        return None
    try:
        return make(*(sections[name] for name in needs), found)
    except MainspringError as error:
        found.add((needs[0],), error.what, error.fix, error.code)
        return None


def _training(
    section: TrainingSection, gates: tuple[GateEntry, ...], features: Features, found: Findings
) -> TrainingPlan:
    for index, name in enumerate(section.slices):
        _check_feature(name, ("training", "slices", index), features, found)
    window = None if section.window == "all" else parse_duration(section.window)
    holdout = parse_duration(section.holdout)
    if window is not None and holdout >= window:
        what = f"the holdout of {section.holdout} leaves nothing of a window of {section.window}"
        found.add(("training", "holdout"), what, "make the holdout shorter than the window")
    confidences = [gate.champion.confidence for gate in gates if isinstance(gate, ChampionEntry)]
    return TrainingPlan(
        function=section.function, window=window, holdout=holdout, params=dict(section.params),
        slices=_slices(section, gates),
        epsilons=tuple(sorted({gate.robustness.epsilon for gate in gates if isinstance(gate, RobustnessEntry)})),
        loss=next((gate.champion.metric for gate in gates if isinstance(gate, ChampionEntry)), "log_loss"),
        confidence=max(confidences, default=0.95), min_rows=section.min_rows,
        runtime=section.runtime, trust=section.trust,
    )  # fmt: skip


def _slices(section: TrainingSection, gates: tuple[GateEntry, ...]) -> tuple[str, ...]:
    """Return the columns by which evidence is broken down, each once: those of the section and of the gates."""
    return tuple(dict.fromkeys((*section.slices, *(by for gate in gates if (by := _by(gate))))))


def _check_feature(name: str, path: Path, features: Features, found: Findings) -> None:
    """Refuse a name that is not the column of exactly one feature; `view.column` says which."""
    columns = [(view, column) for view, feature in features.items() for column in _columns(feature)]
    meant = [pair for pair in columns if name in (pair[1], ".".join(pair))]
    if len(meant) != 1 and len(features) == len(found.known.get("features", ())):
        choices = [".".join(pair) for pair in (meant or columns)]
        what = f"{name} is a column of {len(meant)} features, not of one"
        found.add(path, what, f"write one of: {', '.join(choices[:20])}", "project.reference")


def _by(entry: GateEntry) -> str:
    if isinstance(entry, FloorEntry):
        return entry.floor.by or ""
    return entry.fairness.by if isinstance(entry, FairnessEntry) else ""


def _columns(feature: RowFeature | WindowFeature) -> tuple[str, ...]:
    if isinstance(feature, WindowFeature):
        return tuple(feature.aggregate)
    return (*feature.columns, *feature.derive)


def _gates(entries: tuple[GateEntry, ...], features: Features, found: Findings) -> tuple[Gate, ...]:
    placed = list(zip(found.gates, entries, strict=False))
    for index, entry in placed:
        if _by(entry):
            kind = "floor" if isinstance(entry, FloorEntry) else "fairness"
            _check_feature(_by(entry), ("gates", index, kind, "by"), features, found)
    return tuple(_gate(entry, index, found) for index, entry in placed)


def _gate(entry: GateEntry, index: int, found: Findings) -> Gate:
    if isinstance(entry, ChampionEntry):
        champion = entry.champion
        return ChampionGate(metric=champion.metric, margin=champion.margin, confidence=champion.confidence)
    if isinstance(entry, FloorEntry):
        return _floor(entry, index, found)
    if isinstance(entry, LatencyEntry):
        return LatencyGate(p99_us=parse_duration(entry.latency.p99))
    if isinstance(entry, RobustnessEntry):
        return RobustnessGate(accuracy=entry.robustness.accuracy, epsilon=entry.robustness.epsilon)
    fairness = entry.fairness
    return FairnessGate(
        measure=fairness.measure, by=fairness.by, gap_below=fairness.gap_below, min_rows=fairness.min_rows
    )


def _floor(entry: FloorEntry, index: int, found: Findings) -> FloorGate:
    floor = entry.floor
    right, wrong = ("at_most", "at_least") if floor.metric in _LOSSES else ("at_least", "at_most")
    bound = getattr(floor, right)
    if bound is None or getattr(floor, wrong) is not None:
        what = f"{floor.metric} is {'better when lower' if right == 'at_most' else 'better when higher'}"
        found.add(("gates", index, "floor", wrong), what, f"give `{right}`, not `{wrong}`")
    return FloorGate(metric=floor.metric, bound=bound or 0.0, by=floor.by or "", min_rows=floor.min_rows)


def _rollout(section: ReleaseSection, found: Findings) -> RolloutPlan | None:
    canary = section.canary
    steps = canary.steps
    rising = all(low < high for low, high in zip((0, *steps), steps, strict=False))
    if not steps or not rising or steps[-1] != 100:
        what = f"steps {list(steps)} must rise from above 0 and end at 100"
        found.add(("release", "canary", "steps"), what, "for example steps: [5, 25, 100]")
        return None
    latency = canary.abort.latency_p99
    return RolloutPlan(
        steps=steps, hold=parse_duration(canary.hold), min_requests=canary.min_requests,
        error_rate=float(canary.abort.error_rate.removesuffix("%")) / 100,
        latency_p99_us=None if latency is None else parse_duration(latency), quality=canary.abort.quality == "worse",
    )  # fmt: skip


def _monitoring(section: MonitoringSection, found: Findings) -> MonitoringPlan:
    every, window = parse_duration(section.every), parse_duration(section.window)
    if window % every:
        found.add(
            ("monitoring", "window"), f"{section.window} is not a multiple of every: {section.every}",
            f"write a multiple, for example {format_duration(max(1, window // every) * every)}",
        )  # fmt: skip
    rule = section.drift
    drift = DriftRule(measure=rule.measure, above=rule.above, false_discovery=rule.false_discovery)
    delay = parse_duration(section.label_delay)
    return MonitoringPlan(
        every=every, window=window, label_delay=delay, drift=drift, quality_metric=section.quality.metric
    )


def _retraining(section: RetrainingSection, _: Findings) -> RetrainPolicy:
    k, n = section.persist.split(" of ")
    budget = None
    if section.budget is not None:
        runs, _per, period = section.budget.runs.replace(" runs", "").replace(" run", "").split(" ")
        budget = (int(runs), parse_duration(period))
    return RetrainPolicy(
        when=section.when, persist=(int(k), int(n)),
        cooldown=parse_duration(section.cooldown) if section.cooldown else 0,
        min_new_labels=section.min_new_labels, budget=budget,
        every=parse_duration(section.every) if section.every else 0,
    )  # fmt: skip


def _alerts(section: AlertsSection, found: Findings) -> Alerts:
    for index, name in enumerate(section.tell):
        if name in section.page:
            found.add(("alerts", "tell", index), f"{name} also pages", "list it under page or tell, not both")
    return Alerts(page=section.page, tell=section.tell, to=section.to)


def _security(section: SecuritySection, _: Findings) -> Security:
    budget = None
    if section.query_budget:
        rows, period = section.query_budget.split(" per ")
        budget = (int(rows), parse_duration(period))
    return Security(
        threshold=section.signing.threshold, query_budget=budget, personal=section.personal,
        keep_predictions=parse_duration(section.retention.predictions),
    )  # fmt: skip


def _delivery(section: DeliverySection, found: Findings) -> Delivery:
    if section.ci and not section.registry:
        found.add(("delivery", "ci"), "pipelines push images, and no registry is given", "add delivery.registry")
    return Delivery(
        repository=section.repository or "", branch=section.branch,
        remote=section.remote or ("origin" if section.ci else ""),  # what a pipeline does not push is lost
        registry=section.registry or "",
        base=section.base or "", ci=section.ci or "", login=section.login, tracking=_tracking(section),
        vault=Vault(means=section.secrets or "", **section.vault.model_dump()),
        database=section.database.model_dump() if section.database else {},
    )  # fmt: skip


def _tracking(section: DeliverySection) -> Tracking | None:
    return Tracking(**section.tracking.model_dump()) if section.tracking else None


def _environments(
    sections: Mapping[str, EnvironmentSection], monitoring: MonitoringSection, found: Findings
) -> Mapping[str, Environment]:
    spaces: dict[str, str] = {}
    for name in sections:  # a namespace's name has no _
        other = spaces.setdefault(name.replace("_", "-"), name)
        if other != name:
            found.add(("environments", name), f"{name} and {other} would share a namespace", "rename one of them")
    return {name: _environment(name, section, monitoring, found) for name, section in sections.items()}


def _environment(name: str, section: EnvironmentSection, monitoring: MonitoringSection, found: Findings) -> Environment:
    here = ("environments", name)
    tick = parse_duration(monitoring.every)
    if section.schedule and cron.shortest_gap(section.schedule) < min(tick, parse_duration("1d")):
        gap = format_duration(cron.shortest_gap(section.schedule))
        what = f"{section.schedule!r} fires every {gap}, but a tick is {monitoring.every}"
        found.add((*here, "schedule"), what, f"write {cron.every(tick)!r}, or leave schedule out")
    online = section.stores.online or "redis://"
    if not online.startswith(("redis://", "rediss://", "secret://")):
        fix = "write redis://host:port, rediss:// or a secret reference"
        found.add((*here, "stores", "online"), "features by key can be kept in Redis only", fix)
    replicas = section.replicas
    if isinstance(replicas, ReplicaRange) and replicas.min > replicas.max:
        found.add((*here, "replicas"), f"min {replicas.min} is above max {replicas.max}", "swap them")
    if section.serverless and section.platform != "kserve":
        found.add((*here, "serverless"), f"{section.platform} has no Knative", "remove it, or write platform: kserve")
    if section.platform == "local" and (section.scheduler or section.image or section.steps_image):
        found.add(here, "a local environment has no scheduler or image", "remove them or set platform")
    stores = {key: value for key, value in section.stores.model_dump().items() if value is not None}
    if section.scheduler:
        stores.setdefault("metrics", PUSHGATEWAY)
    bounds = (replicas.min, replicas.max) if isinstance(replicas, ReplicaRange) else (replicas, replicas)
    return Environment(
        name=name, platform=section.platform, replicas=bounds,
        options=lower_options(section, section.platform, bounds[1] > bounds[0], here, found),
        identity=dict(section.identity),
        approvals=section.approvals, scheduler=section.scheduler or "",
        schedule=section.schedule or cron.every(tick), image=section.image or "",
        steps_image=section.steps_image or "", stores=stores, network=Network(**section.network.model_dump()),
        serverless=section.serverless, data_claim=section.data_claim or "",
        freezes=lower_freezes(section, here, found),
        soak=parse_duration(section.soak) if section.soak else 0,
        seldon=section.seldon,
    )  # fmt: skip


_SECTIONS: Mapping[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "definitions": (("data", "ask", "features", "target"), lower_definitions),
    "expectations": (("data",), lower_expectations),
    "training": (("training", "gates", "features"), _training),
    "steps": (("training",), lower_steps),
    "search": (("training",), lambda section, found: lower_search(section.search, found)),
    "gates": (("gates", "features"), _gates),
    "rollout": (("release",), _rollout),
    "monitoring": (("monitoring",), _monitoring),
    "retraining": (("retraining",), _retraining),
    "alerts": (("alerts",), _alerts),
    "security": (("security",), _security),
    "delivery": (("delivery",), _delivery),
    "environments": (("environments", "monitoring"), _environments),
}
