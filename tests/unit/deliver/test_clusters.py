"""Clusters: exact commands, files that enforce network policies, and bad input refused before anything is shown."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.deliver.clusters import bootstrap as argo
from mainspring.deliver.clusters.plan import Plan
from mainspring.deliver.clusters.providers import create, credentials
from mainspring.deliver.clusters.wanted import PROVIDERS, InvalidCluster, Wanted

BASES: dict[str, dict[str, Any]] = {
    "gke": {"name": "models-1", "zone": "us-central1-c"},
    "aks": {"name": "myAKSCluster", "resource_group": "MyResourceGroup", "region": "eastus"},
    "eks": {"name": "my-eks-cluster", "region": "us-west-2"},
    "kind": {"name": "lab"},
}
IMAGE = "kindest/node:v1.34.0@sha256:" + "b" * 64
RENDERED = ("argocd/argocd-app.yaml", "argocd/project.yaml", "argocd/platform.yaml", "argocd/platform/project.yaml")


def wanted(provider: str, **more: object) -> Wanted:
    return Wanted(provider=provider, **{**BASES[provider], **more})


def lines(plan: Plan) -> list[str]:
    return [command.shown() for command in plan.commands]


def test_gke() -> None:
    made = lines(create(wanted("gke", nodes=5, machine="e2-standard-4", kubernetes="1.33", project="ops-1")))
    assert made == [
        "gcloud container clusters create models-1 --zone us-central1-c --project ops-1 --num-nodes 5 "
        "--machine-type e2-standard-4 --cluster-version 1.33 --enable-ip-alias --enable-dataplane-v2 "
        "--enable-shielded-nodes --workload-pool ops-1.svc.id.goog --quiet"
    ]
    regional = Wanted(provider="gke", name="models-1", region="us-central1")
    assert lines(credentials(regional)) == [
        "gcloud container clusters get-credentials models-1 --region us-central1 --quiet"
    ]


def test_aks() -> None:
    asked = wanted("aks", nodes=2, machine="Standard_D4s_v5", node_group="standard", kubernetes="1.33", project="ops")
    group, made = lines(create(asked))
    assert group == "az group create --name MyResourceGroup --location eastus --subscription ops"
    assert made == (
        "az aks create --resource-group MyResourceGroup --name myAKSCluster --location eastus --node-count 2 "
        "--node-vm-size Standard_D4s_v5 --nodepool-name standard --kubernetes-version 1.33 --network-plugin azure "
        "--network-plugin-mode overlay --network-dataplane cilium --enable-oidc-issuer --enable-workload-identity "
        "--generate-ssh-keys --subscription ops"
    )
    for key, flags in (
        ("none", "--no-ssh-key"),
        ("generate", "--generate-ssh-keys"),
        ("~/.ssh/id.pub", "--ssh-key-value"),
    ):
        assert flags in lines(create(wanted("aks", ssh_key=key)))[1]
    assert lines(credentials(wanted("aks"))) == [
        "az aks get-credentials --resource-group MyResourceGroup --name myAKSCluster"
    ]


def test_eks() -> None:
    asked = wanted("eks", node_group="standard-workers", nodes=4, machine="m6i.xlarge", kubernetes="1.33.2",
                   ssh_key="keys/id.pub", project="ops")  # fmt: skip
    plan = create(asked)
    path = "clusters/my-eks-cluster.eksctl.yaml"
    assert lines(plan) == [f"eksctl create cluster --config-file {path} --profile ops"]
    document: Any = plan.files[path].documents[0]
    assert document["metadata"] == {"name": "my-eks-cluster", "region": "us-west-2", "version": "1.33"}
    group = document["managedNodeGroups"][0]
    assert (group["name"], group["instanceType"], group["desiredCapacity"]) == ("standard-workers", "m6i.xlarge", 4)
    assert group["ssh"] == {"allow": True, "publicKeyPath": "keys/id.pub"}
    assert "enableNetworkPolicy" in document["addons"][0]["configurationValues"]
    (disks,) = [addon for addon in document["addons"] if addon["name"] == "aws-ebs-csi-driver"]
    assert json.loads(disks["configurationValues"]) == {"defaultStorageClass": {"enabled": True}}
    assert disks["wellKnownPolicies"] == {"ebsCSIController": True}
    assert lines(credentials(asked)) == [
        "aws eks update-kubeconfig --name my-eks-cluster --region us-west-2 --alias my-eks-cluster --profile ops"
    ]


def test_kind() -> None:
    plan = create(wanted("kind", nodes=3, node_image=IMAGE))
    document: Any = plan.files["clusters/lab.kind.yaml"].documents[0]
    assert [node["role"] for node in document["nodes"]] == ["control-plane", "worker", "worker"]
    assert {node["image"] for node in document["nodes"]} == {IMAGE}
    assert lines(plan) == ["kind create cluster --name lab --config clusters/lab.kind.yaml --wait 2m"]
    assert lines(credentials(wanted("kind"))) == ["kind export kubeconfig --name lab"]


SHELL = ["a;b", "a b", "$(id)", "`id`", "a&b", "a|b", "a>b", "a\nb", "a\x00b", "'a'", '"a"', "a*", "%PATH%", "^a", "!x"]
PLACES = ["C:\\clusters", "..\\x", "a/../b", "\\\\host\\share"]
FLAGS = ["--foo", "-f", "--", "-"]
LONG = ["", "a" * 200, "ä", "一"]


@pytest.mark.parametrize("bad", SHELL + PLACES + FLAGS + LONG)
@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_names_that_something_could_misread_are_refused(provider: str, bad: str) -> None:
    with pytest.raises(InvalidCluster, match="--name") as told:
        wanted(provider, name=bad)
    assert "such as" in told.value.fix


@pytest.mark.parametrize("bad", SHELL + PLACES + FLAGS)
def test_so_is_every_other_text(bad: str) -> None:
    for provider, rules in PROVIDERS.items():
        for option in sorted(set(rules.knows) - {"nodes"}):
            if option == "ssh_key" and bad == "a/../b":
                continue  # a path may go up
            with pytest.raises(InvalidCluster):
                wanted(provider, **{option: bad})


@pytest.mark.parametrize(
    ("provider", "more", "told"),
    [
        ("gke", {"zone": ""}, "needs --zone or --region"),
        ("gke", {"region": "us-central1"}, "two places"),
        ("gke", {"node_group": "x"}, "knows no --node-group"),
        ("gke", {"ssh_key": "generate"}, "knows no --ssh-key"),
        ("gke", {"nodes": -1}, "-1 is no number"),
        ("gke", {"nodes": 100_000}, "no number of nodes"),
        ("gke", {"name": "Models"}, "--name"),
        ("aks", {"resource_group": ""}, "needs --resource-group"),
        ("aks", {"node_group": "Standard-1"}, "--node-group"),
        ("aks", {"kubernetes": "latest"}, "--kubernetes"),
        ("eks", {"ssh_key": "generate"}, "generates no SSH key"),
        ("eks", {"name": "1st"}, "--name"),
        ("kind", {"nodes": 11}, "no number of nodes"),
        ("kind", {"region": "x"}, "knows no --region"),
        ("kind", {"node_image": "kindest/node:latest"}, "by digest"),
    ],
)
def test_what_does_not_fit_is_told(provider: str, more: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidCluster, match=told):
        wanted(provider, **more)


def test_an_unknown_provider_is_told() -> None:
    with pytest.raises(InvalidCluster, match="gcp") as told:
        Wanted(provider="gcp", name="a")
    assert told.value.fix == "one of: gke, aks, eks, kind"


@given(name=st.text(alphabet=string.printable, max_size=30), provider=st.sampled_from(list(PROVIDERS)))
def test_a_name_is_refused_or_stands_alone_in_the_commands(name: str, provider: str) -> None:
    try:
        asked = wanted(provider, name=name)
    except InvalidCluster:
        return
    for make in (create, credentials):
        commands, plain = make(asked).commands, make(wanted(provider)).commands
        for command, other in zip(commands, plain, strict=True):
            assert flags(command.argv) == flags(other.argv)
            assert all(part.isprintable() and part.isascii() for part in command.argv)


def flags(argv: tuple[str, ...]) -> list[str]:
    return [part for part in argv if part.startswith("-")]


def test_argo_cd_is_installed_at_a_pinned_version_and_given_what_was_rendered() -> None:
    install, *applied = argo.bootstrap(RENDERED, context="lab").commands
    assert ("--version", argo.VERSION) in zip(install.argv, install.argv[1:], strict=False)
    assert [command.argv[-1] for command in applied] == [
        "argocd/platform/project.yaml", "argocd/platform.yaml", "argocd/project.yaml", "argocd/argocd-app.yaml",
    ]  # fmt: skip
    assert all(command.argv[1:3] == ("--context", "lab") for command in applied)


@pytest.mark.parametrize("bad", ["--foo", "a b", "a;b", "-", "x\ny"])
def test_contexts_and_versions_are_checked(bad: str) -> None:
    with pytest.raises(InvalidCluster):
        argo.bootstrap(RENDERED, context=bad)
    with pytest.raises(InvalidCluster):
        argo.bootstrap(RENDERED, version=bad)
    for plan in (argo.show_admin, argo.rotate_admin, argo.delete_admin):
        with pytest.raises(InvalidCluster):
            plan(bad)


def test_a_project_without_applications_cannot_be_handed_over() -> None:
    with pytest.raises(InvalidCluster, match="no Argo CD applications"):
        argo.bootstrap(("security/namespaces.yaml",))


def test_no_password_stands_on_a_command_line() -> None:
    words = " ".join(lines(argo.rotate_admin()))
    assert '"admin.password":null' in words
    assert lines(argo.rotate_admin())[-1] == lines(argo.show_admin())[0]
    assert lines(argo.delete_admin()) == [
        "kubectl --namespace argocd delete secret argocd-initial-admin-secret --ignore-not-found"
    ]
