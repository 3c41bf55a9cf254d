"""Plans for each provider: make a cluster, and write its access into the kubeconfig.

Each cluster enforces network policies (Dataplane V2, Cilium, the VPC CNI's agent, kindnet), for the rendered ones mean
nothing otherwise, and can give workloads an identity of the cloud, so that no key needs to be stored. Flags by the
references of `gcloud container clusters`, `az aks`, `aws eks`, eksctl's and kind's configuration files.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mainspring.deliver.clusters.plan import Command, Plan
from mainspring.deliver.clusters.wanted import GENERATE, NO_KEY, Wanted
from mainspring.deliver.render.content import Objects, one
from mainspring.deliver.render.pins import KIND_NODE

NODES = 3
_GROUP = "standard"


def create(wanted: Wanted) -> Plan:
    """Return the plan that makes a cluster."""
    return _CREATE[wanted.provider](wanted)


def credentials(wanted: Wanted) -> Plan:
    """Return the plan that lets kubectl and helm reach an existing cluster."""
    return Plan(commands=[_CREDENTIALS[wanted.provider](wanted)])


def _gke(wanted: Wanted) -> Plan:
    name = f"{wanted.project}.svc.id.goog"
    argv = (
        "gcloud", "container", "clusters", "create", wanted.name, *_gcloud(wanted),
        "--num-nodes", str(wanted.nodes or NODES), *_given("--machine-type", wanted.machine),
        *_given("--cluster-version", wanted.kubernetes), "--enable-ip-alias", "--enable-dataplane-v2",
        "--enable-shielded-nodes", *(("--workload-pool", name) if wanted.project else ()), "--quiet",
    )  # fmt: skip
    return Plan(commands=[Command(argv=argv, what=f"make the cluster {wanted.name}", fix=_fix("gcloud auth login"))])


def _aks(wanted: Wanted) -> Plan:
    account = _given("--subscription", wanted.project)
    group = (
        "az", "group", "create", "--name", wanted.resource_group, "--location", wanted.region, *account,
    )  # fmt: skip
    keys = {
        "": ("--generate-ssh-keys",), GENERATE: ("--generate-ssh-keys",), NO_KEY: ("--no-ssh-key",),
    }.get(wanted.ssh_key, ("--ssh-key-value", wanted.ssh_key))  # fmt: skip
    argv = (
        "az", "aks", "create", "--resource-group", wanted.resource_group, "--name", wanted.name,
        "--location", wanted.region, "--node-count", str(wanted.nodes or NODES),
        *_given("--node-vm-size", wanted.machine), *_given("--nodepool-name", wanted.node_group),
        *_given("--kubernetes-version", wanted.kubernetes), "--network-plugin", "azure", "--network-plugin-mode",
        "overlay", "--network-dataplane", "cilium", "--enable-oidc-issuer", "--enable-workload-identity",
        *keys, *account,
    )  # fmt: skip
    return Plan(commands=[
        Command(argv=group, what=f"make the resource group {wanted.resource_group}", fix=_fix("az login")),
        Command(argv=argv, what=f"make the cluster {wanted.name}", fix=_fix("az login")),
    ])  # fmt: skip


def _eks(wanted: Wanted) -> Plan:
    path = f"clusters/{wanted.name}.eksctl.yaml"
    argv = ("eksctl", "create", "cluster", "--config-file", path, *_given("--profile", wanted.project))
    made = Command(argv=argv, what=f"make the cluster {wanted.name}", fix=_fix("aws sts get-caller-identity"))
    return Plan(commands=[made], files={path: eksctl_file(wanted)})


def eksctl_file(wanted: Wanted) -> Objects:
    """Return eksctl's configuration of a cluster (schema eksctl.io/v1alpha5)."""
    nodes = wanted.nodes or NODES
    group: dict[str, Any] = {
        "name": wanted.node_group or _GROUP, "desiredCapacity": nodes, "minSize": nodes, "maxSize": nodes,
        "privateNetworking": True, "volumeEncrypted": True, "disableIMDSv1": True,
    }  # fmt: skip
    if wanted.machine:
        group["instanceType"] = wanted.machine
    if wanted.ssh_key not in ("", NO_KEY):
        group["ssh"] = {"allow": True, "publicKeyPath": wanted.ssh_key}
    head = {"name": wanted.name, "region": wanted.region}
    if wanted.kubernetes:
        head["version"] = ".".join(wanted.kubernetes.split(".")[:2])
    return one({
        "apiVersion": "eksctl.io/v1alpha5", "kind": "ClusterConfig", "metadata": head,
        "iam": {"withOIDC": True},
        "addons": [
            {"name": "vpc-cni", "configurationValues": '{"enableNetworkPolicy": "true"}'},
            {"name": "coredns"}, {"name": "kube-proxy"}, {"name": "eks-pod-identity-agent"},
            {  # without it no volume claim is ever bound
                "name": "aws-ebs-csi-driver", "wellKnownPolicies": {"ebsCSIController": True},
                "configurationValues": '{"defaultStorageClass": {"enabled": true}}',
            },
        ],
        "managedNodeGroups": [group],
        "cloudWatch": {"clusterLogging": {"enableTypes": ["api", "audit", "authenticator"]}},
    })  # fmt: skip


def _kind(wanted: Wanted) -> Plan:
    path = f"clusters/{wanted.name}.kind.yaml"
    argv = ("kind", "create", "cluster", "--name", wanted.name, "--config", path, "--wait", "2m")
    fix = "see that the container engine runs: docker info, or podman info"
    made = Command(argv=argv, what=f"make the cluster {wanted.name} on this machine", fix=fix)
    return Plan(commands=[made], files={path: kind_file(wanted)})


def kind_file(wanted: Wanted) -> Objects:
    """Return kind's configuration of a cluster: one control plane, and workers for what is asked beyond one node."""
    image = {"image": wanted.node_image or KIND_NODE}
    roles = ["control-plane", *["worker"] * max(0, (wanted.nodes or 1) - 1)]
    return one({
        "kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1"}, "nodes": [{"role": role, **image} for role in roles],
    })  # fmt: skip


def _gke_access(wanted: Wanted) -> Command:
    argv = ("gcloud", "container", "clusters", "get-credentials", wanted.name, *_gcloud(wanted), "--quiet")
    return _access(wanted, argv, "gcloud auth login")


def _aks_access(wanted: Wanted) -> Command:
    argv = (
        "az", "aks", "get-credentials", "--resource-group", wanted.resource_group, "--name", wanted.name,
        *_given("--subscription", wanted.project),
    )  # fmt: skip
    return _access(wanted, argv, "az login")


def _eks_access(wanted: Wanted) -> Command:
    argv = (
        "aws", "eks", "update-kubeconfig", "--name", wanted.name, "--region", wanted.region, "--alias", wanted.name,
        *_given("--profile", wanted.project),
    )  # fmt: skip
    return _access(wanted, argv, "aws sts get-caller-identity")


def _kind_access(wanted: Wanted) -> Command:
    return _access(wanted, ("kind", "export", "kubeconfig", "--name", wanted.name), "kind get clusters")


def _access(wanted: Wanted, argv: tuple[str, ...], check: str) -> Command:
    return Command(argv=argv, what=f"let kubectl reach {wanted.name}", fix=_fix(check))


def _gcloud(wanted: Wanted) -> tuple[str, ...]:
    place = ("--zone", wanted.zone) if wanted.zone else ("--region", wanted.region)
    return (*place, *_given("--project", wanted.project))


def _given(flag: str, value: str) -> tuple[str, ...]:
    return (flag, value) if value else ()


def _fix(check: str) -> str:
    return f"read what it said; that you are signed in, see: {check}"


_CREATE: Mapping[str, Callable[[Wanted], Plan]] = {"gke": _gke, "aks": _aks, "eks": _eks, "kind": _kind}
_CREDENTIALS: Mapping[str, Callable[[Wanted], Command]] = {
    "gke": _gke_access, "aks": _aks_access, "eks": _eks_access, "kind": _kind_access,
}  # fmt: skip
