"""What one environment's server gets, and how it is reached: sections that the chart turns into objects.

Each field is one of the chart's values (`deliver.render.chart`); what is left out stays as the chart has it.
"""

from typing import Annotated, Literal

from pydantic import Field

from mainspring.project.delivery_models import Namespace
from mainspring.project.entry_models import EntrySection
from mainspring.project.fields import Section
from mainspring.project.step_models import Memory

_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
Host = Annotated[str, Field(max_length=253, pattern=rf"^(\*\.)?{_LABEL}(\.{_LABEL})+$")]
Key = Annotated[
    str, Field(max_length=317, pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
ObjectName = Annotated[str, Field(max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$")]
NodeValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")]
Note = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ServerSection(Section):
    """What each server gets."""

    cpu: float = Field(default=0.25, ge=0.05, le=256, description="Processors that it is sure of.")
    memory: Memory = Field(default="512Mi", description="Memory; a server that takes more is ended.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that answer.")
    grpc: bool = Field(default=False, description="Also answer gRPC, on port 8081.")
    tls_secret: ObjectName | None = Field(
        default=None,
        description="Secret (kubernetes.io/tls) with the certificate by which predictions are served; read at the "
        "start, so a new one needs a restart. An Ingress or a Gateway must be told that the server speaks TLS.",
    )


class AutoscalingSection(Section):
    """What sets the number of servers between replicas.min and replicas.max."""

    kind: Literal["hpa", "keda"] = Field(default="hpa", description="Kubernetes' own autoscaler, or KEDA's.")
    cpu: int = Field(default=70, ge=1, le=100, description="Percent of the processors asked for.")
    rows_per_second: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="With keda: also one server for so many rows a second."
    )


class IngressSection(Section):
    """An Ingress that leads to the server."""

    host: Host = Field(description="The name that callers use.")
    class_name: Namespace | None = Field(default=None, description="IngressClass; left out: the cluster's own.")
    certificate: Namespace | None = Field(default=None, description="Name of the Secret with its certificate.")
    annotations: dict[Key, Note] = Field(default_factory=dict, description="What the controller is told.")


class GatewaySection(Section):
    """A route of an existing Gateway (Gateway API) that leads to the server."""

    name: Namespace = Field(description="The Gateway.")
    namespace: Namespace = Field(description="Its namespace, which may then call the server.")
    hostnames: tuple[Host, ...] = Field(default=(), description="The names that callers use.")


class TolerationSection(Section):
    """A taint of nodes that pods may run on nonetheless."""

    key: Key = Field(description="The taint's key.")
    value: NodeValue | None = Field(default=None, description="Its value; left out: any.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Its effect; left out: any."
    )


class Placement(Section):
    """Which nodes pods run on, with whose credentials their images are pulled, and what yields to them."""

    node_selector: dict[Key, NodeValue] = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: tuple[TolerationSection, ...] = Field(default=(), description="Taints that are put up with.")
    pull_secrets: tuple[ObjectName, ...] = Field(default=(), description="Secrets with the registry's credentials.")
    priority_class: ObjectName | None = Field(default=None, description="PriorityClass.")


class PlacementSection(Section):
    """Where an environment's pods run. Under Knative selectors and tolerations must be switched on in its settings."""

    server: Placement = Field(default_factory=Placement, description="Of the servers.")
    steps: Placement = Field(default_factory=Placement, description="Of the watch and of each step of a training.")


class ReachedSection(EntrySection):
    """The part of an environment that is about its server's pods."""

    server: ServerSection | None = Field(default=None, description="What each server gets.")
    autoscaling: AutoscalingSection | None = Field(default=None, description="What sets the number of servers.")
    ingress: IngressSection | None = Field(default=None, description="An Ingress that leads to the server.")
    gateway: GatewaySection | None = Field(default=None, description="A Gateway's route that leads to the server.")
    placement: PlacementSection | None = Field(default=None, description="Which nodes pods run on.")
    identity: dict[Key, Note] = Field(
        default_factory=dict,
        description="Annotations of the service accounts of server, steps and watch: which identity of the cloud their "
        "pods have, so that no key is stored. `eks.amazonaws.com/role-arn`, `iam.gke.io/gcp-service-account`, "
        "`azure.workload.identity/client-id`.",
    )
