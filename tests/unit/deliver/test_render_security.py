"""Security files: no job both starts pods and reads secrets, no flow is open unnamed, no secret is ever written."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests import crd_schemas
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import access, mlflow, networks, vault
from mainspring.deliver.render.content import Files, Objects, Text
from mainspring.deliver.render.endpoints import endpoint
from mainspring.deliver.render.subject import Network, Subject, Tracking, Vault
from mainspring.security.lint import lint

PIN = "@sha256:" + "b" * 64
TRACKING = Tracking(
    image=f"ghcr.io/mlflow/mlflow{PIN}", proxy=f"envoyproxy/envoy{PIN}", issuer="https://id.example",
    audience="mlflow", keys="https://id.example/jwks", groups="groups", readers="ml-readers", writers="ml-writers",
)  # fmt: skip
STORES = {
    "ledger": "secret://vault/ml/ledger#url", "models": "s3://models", "tables": "gs://tables",
    "online": "rediss://features.redis.svc:6380", "tracking": "http://mlflow:5000",
}  # fmt: skip


def project(means: str = "external-secrets", auth: str = "kubernetes", **more: Any) -> Subject:  # noqa: ANN401
    production = place("production", "deployment", scheduler="cronworkflow", stores=STORES, **more)
    small = place("dev_1", "kserve", scheduler="cronjob")
    source = Vault(means=means, address="https://vault.vault.svc:8200", mount="ml", auth=auth)
    webhooks = ("secret://env/ALERT_WEBHOOK", "secret://vault/ops/pager#key")
    return replace(subject(production, small), vault=source, tracking=TRACKING, webhooks=webhooks)


def everything(project: Subject) -> Files:
    return {p: c for make in (access, networks, vault, mlflow) for p, c in make.files(project).items()}


def documents(files: Files) -> list[dict[str, Any]]:
    return [dict(d) for content in files.values() if isinstance(content, Objects) for d in content.documents]


def of(files: Files, kind: str) -> dict[str, dict[str, Any]]:
    return {f"{d['metadata']['namespace']}/{d['metadata']['name']}": d for d in documents(files) if d["kind"] == kind}


@pytest.mark.parametrize("means", ["external-secrets", "vault-operator", "agent"])
@pytest.mark.parametrize("auth", ["kubernetes", "jwt"])
def test_every_object_is_right_and_safe(means: str, auth: str) -> None:
    files = everything(project(means, auth))
    crd_schemas.check(documents(files))
    read = [read_text(path, "kubernetes", dump(c)) for path, c in files.items() if isinstance(c, Objects)]
    assert [str(finding) for finding in lint(read)] == []


def test_no_account_both_starts_pods_and_reads_secrets_and_most_may_do_nothing() -> None:
    files = access.files(project())
    starts, reads = set(), set()
    for binding in of(files, "RoleBinding").values():
        role = of(files, "Role")[f"{binding['metadata']['namespace']}/{binding['roleRef']['name']}"]
        names = {(s["namespace"], s["name"]) for s in binding["subjects"]}
        for rule in role["rules"]:
            assert "*" not in str(rule)
            starts |= names if {"workflows", "pods", "jobs"} & set(rule["resources"]) else set()
            reads |= names if "secrets" in rule["resources"] else set()
    assert starts == {("flight-delay-production", "flight-delay-submit")}
    assert reads == set()
    accounts = of(files, "ServiceAccount")
    assert "flight-delay-production/flight-delay-secrets" in accounts
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    assert "flight-delay-dev-1/flight-delay-watch" not in of(files, "Role")  # a CronJob's pod reports nothing


def rules(policy: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for direction in ("ingress", "egress"):
        for rule in policy["spec"].get(direction, ()):
            yield direction, rule


def test_each_flow_names_its_peers_and_ports() -> None:
    policies = of(networks.files(project()), "NetworkPolicy")
    denied = policies["flight-delay-production/flight-delay-default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies.values():
        for direction, rule in rules(policy):
            peers = rule["from" if direction == "ingress" else "to"]
            assert peers
            assert rule["ports"]
            assert all(peer.get("namespaceSelector") != {} for peer in peers)
    server = policies["flight-delay-production/flight-delay-server"]["spec"]
    assert {p["port"] for rule in server["egress"] for p in rule["ports"]} == {443, 6380}  # never the ledger's 5432
    assert {p["port"] for rule in server["ingress"] for p in rule["ports"]} == {8080, 8081, 9090}
    steps = policies["flight-delay-production/flight-delay-steps"]["spec"]
    assert "ingress" not in steps
    assert {p["port"] for rule in steps["egress"] for p in rule["ports"]} == {443, 5000, 5432, 6443}


def test_a_pods_own_identity_is_given_to_what_opens_stores_and_can_be_fetched_on_gke() -> None:
    mail = {"iam.gke.io/gcp-service-account": "shop@ops.iam.gserviceaccount.com"}
    made = [*documents(access.files(project(identity=mail))), *documents(networks.files(project(identity=mail)))]
    named = {d["metadata"]["name"] for d in made if d["metadata"].get("annotations", {}).items() >= mail.items()}
    assert named == {"flight-delay-steps", "flight-delay-watch"}  # the server's account comes with the chart
    for job in ("server", "steps", "watch"):
        policy = next(
            d for d in made if d["metadata"]["name"] == f"flight-delay-{job}" and d["kind"] == "NetworkPolicy"
        )
        assert "169.254.169.252/32" in json.dumps(policy)
    assert "169.254.169.25" not in json.dumps(documents(networks.files(project())))


def test_who_may_call_follows_the_gateway_that_is_named() -> None:
    route = {"gateway": {"name": "edge", "namespace": "gateways", "hostnames": ()}}
    found = documents(networks.files(project(options=route)))
    server = next(d for d in found if d["metadata"]["name"] == "flight-delay-server")
    peers = [peer["namespaceSelector"]["matchLabels"] for peer in server["spec"]["ingress"][0]["from"]]
    assert peers == [{"kubernetes.io/metadata.name": name} for name in ("gateways", "envoy-gateway-system")]


def test_a_wide_network_is_told_and_narrowed_by_naming_it() -> None:
    def blocks(project: Subject) -> Iterator[tuple[dict[str, Any], str]]:
        for policy in of(networks.files(project), "NetworkPolicy").values():
            for _, rule in rules(policy):
                for peer in rule.get("to", ()):
                    if "ipBlock" in peer:
                        yield peer["ipBlock"], str(policy["metadata"].get("annotations", ""))

    wide = list(blocks(project()))
    assert wide
    assert all(told for _, told in wide)
    metadata = ip_network("169.254.169.254/32")
    for block, _ in wide:
        open_to = ip_network(block["cidr"])
        assert not metadata.subnet_of(open_to) or any(metadata.subnet_of(ip_network(n)) for n in block["except"])  # type: ignore[arg-type]
    named = Network(outside=("203.0.113.0/24",), api=("10.1.0.1/32",))
    dev = place("dev", "deployment", scheduler="cronjob", network=named)
    narrow = list(blocks(replace(project(network=named), places=(project(network=named).places[0], dev))))
    assert {block["cidr"] for block, _ in narrow} == {"203.0.113.0/24", "10.1.0.1/32"}
    assert not any(told for _, told in narrow)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("http://mlflow:5000", ("mlflow", 5000, True, "")),
        ("redis://f.redis.svc", ("f.redis.svc", 6379, False, "redis")),
        ("https://s3.example.com", ("s3.example.com", 443, False, "")), ("s3://bucket/a", ("", 443, False, "")),
        ("postgresql://[fd00::1]:5433/x", ("fd00::1", 5433, False, "")), ("file:///srv", ("", 0, False, "")),
        ("http://[broken", ("", 0, False, "")), ("http://h:99999", ("", 0, False, "")), ("", ("", 0, False, "")),
    ],
)  # fmt: skip
def test_an_address_tells_where_a_store_is(address: str, found: tuple[str, int, bool, str]) -> None:
    place = endpoint("models", address)
    assert (place.host, place.port, place.near, place.namespace) == found


def test_secrets_come_from_named_paths_and_each_environment_reads_its_own() -> None:
    files = everything(project())
    secrets = of(files, "ExternalSecret")
    assert {name.partition("/")[2] for name in secrets} == {
        f"flight-delay-{name}" for name in ("tokens", "scrape", "stores", "git", "signing", "alerts")
    }
    stores = secrets["flight-delay-production/flight-delay-stores"]["spec"]
    assert stores["data"] == [{"secretKey": "LEDGER_URL", "remoteRef": {"key": "ledger", "property": "url"}}]
    assert stores["dataFrom"] == [{"extract": {"key": "flight-delay/production/stores"}}]
    alerts = secrets["flight-delay-production/flight-delay-alerts"]["spec"]["data"]
    assert {item["secretKey"] for item in alerts} == {"ALERT_WEBHOOK", "KEY"}
    policy = files["security/vault/production.hcl"]
    assert isinstance(policy, Text)
    allowed = [line.split('"')[1] for line in policy.body.splitlines() if line.startswith("path")]
    assert allowed == ["ml/data/flight-delay/production/*", "ml/data/ledger", "ops/data/pager"]
    assert not {"create", "update", "delete"} & set(policy.body.split('"'))


def test_a_vault_inside_the_cluster_is_trusted_by_a_secret_and_one_outside_by_public_authorities() -> None:
    for means, words in (("external-secrets", '"caProvider"'), ("vault-operator", '"caCertSecretRef"')):
        near = json.dumps(documents(vault.files(project(means))))
        assert near.count(words) > 0
        assert near.count("flight-delay-vault-ca") == near.count(words)
        source = Vault(means=means, address="https://vault.example:8200", mount="ml", auth="kubernetes")
        assert "vault-ca" not in json.dumps(documents(vault.files(replace(project(means), vault=source))))
    agent = project("agent")
    assert vault.annotations(agent, agent.places[0])["vault.hashicorp.com/tls-secret"] == "flight-delay-vault-ca"


def test_no_secret_object_or_value_is_rendered() -> None:
    for means in ("external-secrets", "vault-operator", "agent"):
        files = everything(project(means))
        assert not of(files, "Secret")
        text = "".join(dump(c) if isinstance(c, Objects) else c.body for c in files.values() if not isinstance(c, str))  # type: ignore[union-attr]
        assert "password" not in text.lower()


def test_without_vault_or_a_cluster_nothing_is_fetched() -> None:
    assert vault.files(subject()) == {}
    assert access.files(replace(project(), places=())) == networks.files(replace(project(), places=())) == {}
    assert vault.annotations(project(), project().places[0]) == {}


def test_the_agent_writes_what_the_chart_would_mount() -> None:
    found = vault.annotations(project("agent"), project("agent").places[0])
    assert found["vault.hashicorp.com/secret-volume-path-tokens.json"] == "/var/run/mainspring/tokens"
    assert found["vault.hashicorp.com/role"] == "flight-delay-production"


def test_mlflow_listens_on_loopback_and_only_its_proxy_is_a_port() -> None:
    deployment = of(mlflow.files(project()), "Deployment")["flight-delay-production/mlflow"]["spec"]["template"]["spec"]
    server, proxy = deployment["containers"]
    assert "--host=127.0.0.1" in server["args"]
    assert "ports" not in server
    assert [port["name"] for port in proxy["ports"]] == ["proxy"]
    elsewhere = replace(project(), places=(place("x", "deployment", stores={"tracking": "http://ml.other.svc:80"}),))
    assert mlflow.files(elsewhere) == {}


def test_the_proxys_configuration_is_json_with_every_path_behind_a_token() -> None:
    objects = of(mlflow.files(project()), "ConfigMap")["flight-delay-production/mlflow-proxy"]
    config = json.loads(objects["data"]["envoy.json"])
    assert config == mlflow.envoy(TRACKING)
    filters = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
        "http_filters"
    ]
    assert [item["name"] for item in filters] == ["health", "jwt", "roles", "router"]
    assert filters[1]["typed_config"]["rules"] == [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}]


GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "security"


@pytest.mark.parametrize("name", ["rbac-minimal.yaml", "network-policies.yaml", "vault.yaml"])
def test_the_reviewed_files_are_what_is_rendered(name: str) -> None:
    """Who changes them reads the difference; MAINSPRING_GOLDEN=write writes them anew."""
    content = everything(project())[f"security/{name}"]
    assert isinstance(content, Objects)
    here = [d for d in content.documents if d["metadata"]["namespace"] == "flight-delay-production"]
    text, path = dump(Objects(here)), GOLDEN / name
    if os.environ.get("MAINSPRING_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines()
