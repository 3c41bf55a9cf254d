"""What a renderer may know of a project: names, environments, schedules and limits, all as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainspring.kernel.needs import StepNeeds

PLATFORMS = ("local", "deployment", "kserve", "rollouts", "seldon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """Where secrets come from. means: `external-secrets`, `vault-operator` or `agent`. address: of the Vault server.

    mount: of the key-value store (version 2). auth: `kubernetes` or `jwt`, each mounted under its own name.
    """

    means: str
    address: str
    mount: str
    auth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Who may talk to whom. callers: namespaces whose pods may call the server; () means the platform's gateway's.

    outside: networks (CIDR) outside the cluster where stores and git are. api: those of the cluster's API server.
    """

    callers: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    api: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """MLflow behind an authorising proxy. image, proxy: of MLflow and of Envoy, by digest.

    issuer, audience, keys: whose JSON Web Tokens are taken, for whom, and where the public keys are (a URL).
    groups: the claim that lists a caller's groups. readers, writers: group names.
    """

    image: str
    proxy: str
    issuer: str
    audience: str
    keys: str
    groups: str
    readers: str
    writers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One environment in a cluster.

    replicas: (fewest, most). approvals: people. scheduler: "", `cronworkflow` or `cronjob`. schedule: cron fields of
    `watch`, in UTC. image, steps_image: by digest, or "". stores: address of each store that is not local;
    a `secret://` reference where it holds credentials. release: the release file as a document, or None before the
    first release. trust: file name -> public key (PEM) that may vouch for a model there. serving: `serving.yaml` as a
    document. network: who may talk to whom. serverless: KServe runs the server under Knative.
    data_claim: the volume claim with the sources' files, or "".
    seldon: `v1` or `v2` of Seldon Core. options: what the project file says of the server's pods, by its sections
    (`server`, `autoscaling`, `ingress`, `gateway`, `placement`). identity: annotations of service accounts that give
    their pods one.
    """

    name: str
    platform: str
    replicas: tuple[int, int]
    approvals: int
    scheduler: str
    schedule: str
    image: str
    steps_image: str = ""
    stores: Mapping[str, str] = field(default_factory=dict)
    release: Mapping[str, object] | None = None
    trust: Mapping[str, str] = field(default_factory=dict)
    serving: Mapping[str, object] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    serverless: bool = False
    data_claim: str = ""
    seldon: str = "v1"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A project as renderers see it.

    name: a DNS label made from the project's name. model: the project's name, as in URLs. digest: of the project file.
    every_us, window_us, label_delay_us: monitoring times. error_rate: tolerated fraction of failed rows.
    latency_p99_us: tolerated 99th percentile, or None. page, tell: alerts that wake somebody, and that are only told.
    webhooks: secret references that alerts go to. repository, branch, registry, ci, login, base: as the project file's
    `delivery` says, "" where it leaves one out. shipped: texts that travel with the package, path -> text
    (`images/serve.lock`, `chart/templates/...`). places: the environments that run in a cluster, in the file's order.
    vault: where secrets come from; None where they are made by hand. tracking: MLflow's, or None.
    retrains_on: signals that call for a training, `output_drift` and `quality`. steps: what each step of a training
    needs, and under `others` everything else. database: `instances` and `storage` of a PostgreSQL of our own, or {}.
    search: whether the project file has parameters to try.
    """

    name: str
    model: str
    description: str
    owner: str
    digest: str
    mainspring: str
    every_us: int
    window_us: int
    label_delay_us: int
    error_rate: float
    latency_p99_us: int | None
    page: tuple[str, ...]
    tell: tuple[str, ...]
    webhooks: tuple[str, ...]
    repository: str
    branch: str
    registry: str
    ci: str
    login: str
    base: str
    shipped: Mapping[str, str]
    places: tuple[Place, ...]
    vault: Vault | None = None
    tracking: Tracking | None = None
    database: Mapping[str, Any] = field(default_factory=dict)
    retrains_on: tuple[str, ...] = ()
    steps: Mapping[str, StepNeeds] = field(default_factory=dict)
    search: bool = False


def logged_to(place: Place) -> str:
    """Return the first object store that an environment's servers log to, or ""."""
    log = place.serving.get("log")
    sinks = log.get("sinks") if isinstance(log, Mapping) else None
    for sink in sinks if isinstance(sinks, list | tuple) else ():
        url = sink.get("to") if isinstance(sink, Mapping) else sink
        if isinstance(url, str) and url.startswith(("s3://", "gs://", "az://", "abfs://")):
            return url
    return ""
