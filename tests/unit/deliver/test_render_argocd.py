"""Argo CD files: right by the schemas, safe by the policy lint, and they cover exactly what is rendered."""

from dataclasses import replace
from typing import Any

import pytest
from tests import crd_schemas
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import argocd, mlflow, namespaces, networks, platform, workflows
from mainspring.deliver.render.content import Files, Objects
from mainspring.deliver.render.kubernetes import KEPT
from mainspring.deliver.render.subject import PLATFORMS, Subject, Tracking, Vault
from mainspring.security.lint import lint


def documents(files: Files) -> list[dict[str, Any]]:
    return [dict(d) for content in files.values() if isinstance(content, Objects) for d in content.documents]


def named(files: Files, kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in documents(files) if d["kind"] == kind}


VAULT = Vault(means="external-secrets", address="https://vault.vault.svc:8200", mount="ml", auth="kubernetes")
STORES = {
    "ledger": "secret://vault/ml/ledger#url", "online": "redis://features:6379", "tracking": "http://mlflow:5000",
}  # fmt: skip
PLACES = [place(f"on-{name}", name, scheduler="cronworkflow", stores=STORES) for name in PLATFORMS if name != "local"]
FULL = replace(subject(*PLACES), vault=VAULT, database={"instances": 2, "storage": "20Gi"})


@pytest.mark.parametrize("project", [subject(), FULL, subject(place("dev", "deployment"))])
def test_every_object_is_right_and_safe(project: Subject) -> None:
    for files in (argocd.files(project), platform.files(project)):
        argos = [document for document in documents(files) if document["apiVersion"] == argocd.API]
        assert crd_schemas.check(argos) == len(argos) > 0
        texts = [read_text(path, "kubernetes", dump(c)) for path, c in files.items() if isinstance(c, Objects)]
        assert [str(finding) for finding in lint(texts)] == []


def test_the_project_allows_each_environment_and_nothing_else() -> None:
    files = argocd.files(FULL)
    project = named(files, "AppProject")["flight-delay"]["spec"]
    assert project["sourceRepos"] == [FULL.repository]
    allowed = {item["namespace"] for item in project["destinations"]}
    assert allowed == {f"flight-delay-on-{name}" for name in PLATFORMS if name != "local"}
    assert all("*" not in str(item) for item in project["destinations"] + project["namespaceResourceWhitelist"])
    applications = named(files, "Application")
    assert {a["spec"]["destination"]["namespace"] for a in applications.values()} <= allowed


def test_an_environments_application_reads_its_values_then_its_release() -> None:
    application = named(argocd.files(FULL), "Application")["flight-delay-on-kserve"]["spec"]
    assert application["source"]["helm"]["valueFiles"] == [
        "../../environments/on-kserve/values.yaml", "../../environments/on-kserve/release.yaml",
    ]  # fmt: skip
    assert application["source"]["targetRevision"] == "main"
    assert application["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "allowEmpty": False}


def test_namespaces_come_before_what_lives_in_them() -> None:
    files = argocd.files(FULL)
    waves = {name: int(d["metadata"]["annotations"][argocd.WAVE]) for name, d in named(files, "Application").items()}
    assert waves["flight-delay-security"] < waves["flight-delay-monitoring"] < waves["flight-delay-on-kserve"]


def test_only_needed_tools_are_installed_each_at_one_version() -> None:
    small = named(platform.files(subject(place("dev", "deployment"))), "Application")
    assert set(small) == {"platform", "flight-delay-root", "kube-prometheus-stack", "metrics-server"}
    full = named(platform.files(FULL), "Application")
    assert {
        "kserve-crd",
        "kserve-resources",
        "seldon-core-operator",
        "argo-rollouts",
        "vault",
        "redis",
        "cloudnative-pg",
    } <= set(full)
    charts = [a["spec"]["source"] for a in full.values() if "chart" in a["spec"]["source"]]
    assert all(source["targetRevision"][-1].isdigit() and "*" not in source["targetRevision"] for source in charts)


def test_monitors_carry_the_label_that_the_stack_selects() -> None:
    stack = named(platform.files(FULL), "Application")["kube-prometheus-stack"]["spec"]["source"]["helm"]
    chosen = stack["valuesObject"]["prometheus"]["prometheusSpec"]["serviceMonitorSelector"]["matchLabels"]
    assert chosen == {"release": "kube-prometheus-stack"}


def test_the_vault_speaks_the_protocol_of_its_address() -> None:
    vault = named(platform.files(FULL), "Application")["vault"]["spec"]["source"]["helm"]["valuesObject"]
    assert VAULT.address.startswith("https://")
    assert "tls_cert_file" in vault["server"]["standalone"]["config"]
    assert "tls_disable" not in vault["server"]["standalone"]["config"]
    assert vault["global"] == {"tlsDisable": False}


def test_what_three_days_of_an_alert_look_at_outlives_a_restart_and_dashboards_are_found_anywhere() -> None:
    stack = named(platform.files(FULL), "Application")["kube-prometheus-stack"]["spec"]["source"]["helm"]
    assert "volumeClaimTemplate" in stack["valuesObject"]["prometheus"]["prometheusSpec"]["storageSpec"]
    assert stack["valuesObject"]["grafana"]["sidecar"]["dashboards"] == {"searchNamespace": "ALL"}


def test_without_a_repository_there_is_nothing_to_follow() -> None:
    lonely = replace(FULL, repository="")
    assert argocd.files(lonely) == platform.files(lonely) == {}


def test_a_database_of_our_own_has_pgvector_keeps_its_data_and_may_be_reached() -> None:
    assert "cloudnative-pg" not in named(platform.files(replace(FULL, database={})), "Application")
    files = platform.files(FULL)
    cluster, space = named(files, "Cluster")["postgres"], named(files, "Namespace")["postgres"]
    assert cluster["spec"]["bootstrap"]["initdb"]["postInitApplicationSQL"] == ["CREATE EXTENSION IF NOT EXISTS vector"]
    for kept in (cluster, space):
        assert kept["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].startswith("Prune=false,Delete=false")
    assert "postgres" in {d["namespace"] for d in named(files, "AppProject")["platform"]["spec"]["destinations"]}
    opened = [d for d in documents(networks.files(FULL)) if d["metadata"]["name"] == "flight-delay-watch"]
    assert all("'kubernetes.io/metadata.name': 'postgres'" in str(policy) for policy in opened)


def owned(application: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (item["kind"], path) for item in application["spec"]["ignoreDifferences"] for path in item["jqPathExpressions"]
    }


def test_a_number_of_replicas_in_git_reaches_the_cluster_unless_an_autoscaler_sets_it() -> None:
    project = subject(place("fixed", "deployment", replicas=(3, 3)), place("scaled", "deployment", replicas=(2, 9)))
    applications = named(argocd.files(project), "Application")
    replicas = ("Deployment", ".spec.replicas")
    assert replicas not in owned(applications["flight-delay-fixed"])
    assert replicas not in owned(applications["flight-delay-security"])
    assert replicas in owned(applications["flight-delay-scaled"])


def test_a_namespace_and_a_claim_are_never_pruned_with_their_environment() -> None:
    tracking = Tracking(image="m", proxy="e", issuer="https://id", audience="a", keys="https://id/k", groups="g",
                        readers="r", writers="w")  # fmt: skip
    whole = replace(FULL, tracking=tracking)
    made = [*documents(namespaces.files(whole)), *documents(workflows.files(whole)), *documents(mlflow.files(whole))]
    kept = [d for d in made if d["kind"] in ("Namespace", "PersistentVolumeClaim")]
    assert len(kept) == 3 * len(PLACES)
    assert all(d["metadata"]["annotations"].items() >= KEPT.items() for d in kept)


def test_a_new_environment_reaches_the_cluster_from_git_alone() -> None:
    root = named(platform.files(FULL), "Application")["flight-delay-root"]["spec"]
    assert (root["source"]["path"], root["project"]) == ("argocd", "platform")
    assert root["source"]["directory"] == {"recurse": False}
    assert all("/" not in path.removeprefix("argocd/") for path in argocd.files(FULL))


def test_every_chart_stays_within_the_namespaces_of_its_project_and_ships_no_password() -> None:
    values = {name: a["spec"]["source"].get("helm", {}).get("valuesObject", {})
              for name, a in named(platform.files(FULL), "Application").items()}  # fmt: skip
    assert values["argo-workflows"]["workflow"]["rbac"] == {"create": False}  # else a Role in the namespace default
    executor = values["argo-workflows"]["executor"]["securityContext"]  # in pods of namespaces held to Restricted
    assert (executor["allowPrivilegeEscalation"], executor["capabilities"]) == (False, {"drop": ["ALL"]})
    assert values["kube-prometheus-stack"]["grafana"]["admin"]["existingSecret"] == "grafana-admin"
    assert values["redis"]["auth"]["existingSecret"] == "redis"
    assert values["seldon-core-operator"]["istio"]["enabled"] is True


def test_certificates_that_controllers_write_into_webhooks_are_no_difference() -> None:
    for name, application in named(platform.files(FULL), "Application").items():
        kinds = {kind for kind, path in owned(application) if path == ".webhooks[]?.clientConfig.caBundle"}
        assert kinds == {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}, name
        assert "RespectIgnoreDifferences=true" in application["spec"]["syncPolicy"]["syncOptions"]
