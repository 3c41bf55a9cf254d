"""The chart before helm and the schemas: every environment and platform, before and after a release, and bad values.

Unverified kinds, for which nobody publishes a schema that we have: ScaledObject (KEDA) and HTTPRoute (Gateway API).
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests import crd_schemas
from tests.tools import program
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.files.tree import Tree
from mainspring.adapters.git.texts import render as release_text
from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.documents import to_document
from mainspring.deliver.release import Champion, Plan, Release, promote_to_canary
from mainspring.flows.render import RenderPorts, render
from mainspring.kernel.digests import digest_of
from mainspring.kernel.scalars import retyped
from mainspring.security.lint import lint

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("helm")]
CHART = "helm/ml-api-chart"
UNVERIFIED = {"ScaledObject", "HTTPRoute"}
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
FIRST = Release(model="on", champion=Champion(version=12_345_678, digest=digest_of({"a": 1})))
PLAN = Plan(steps=(5, 100), hold=6 * 3_600_000_000, abort={"min_requests": 1_000_000, "error_rate": 0.01})
TRIAL = promote_to_canary(FIRST, 12_345_679, digest_of({"a": 2}), PLAN, "canary")
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": {"server": {"tlsSecret": "0e1"}},
    "everything": {
        "autoscaling": {"kind": "keda", "prometheus": {"address": "http://prometheus:9090"}},
        "server": {"grpc": True, "workers": 2, "cacheMb": 64, "logSinks": ["s3://logs/x"]},
        "ingress": {"enabled": True, "host": "x.example", "tlsSecret": "tls", "annotations": {"a/b": "no"}},
        "gateway": {"enabled": True, "name": "edge", "namespace": "gateways", "hostnames": ["x.example"]},
        "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"a": "0o7"}}}]},
        "podLabels": {"track": "1e3", "ring": "0o7", "on": "y"}, "podAnnotations": {"build": "12:30"},
        "serviceAccount": {"annotations": {"role": "null"}}, "nodeSelector": {"gpu": "false"},
        "tolerations": [{"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}],
        "imagePullSecrets": [{"name": "yes"}], "stores": {"env": {"AWS_REGION": "1_000"}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered project called `on`: an environment of each platform, one without an image, one called `no`."""
    folder = tmp_path_factory.mktemp("chart")
    places = [
        place("no", "deployment", replicas=(2, 9), stores={"models": "s3://models/on", "online": "redis://f.redis.svc"},
              trust={"a.pem": PEM}),
        place("empty", "deployment", image=""), place("dev", "deployment", replicas=(1, 1)),
        *(place(f"on-{name}", name) for name in ("kserve", "rollouts", "seldon")),
    ]  # fmt: skip
    project = replace(subject(*places), name="on", model="on", owner="1e3")
    render(project, RenderPorts(tree=Tree(folder), dump=dump))
    for name, release in (("first", FIRST), ("trial", TRIAL)):
        (folder / f"{name}.yaml").write_bytes(release_text(to_document(release), "no", None))
    for name, values in EXTRAS.items():
        (folder / f"{name}.yaml").write_text(json.dumps(values), "utf-8")
    return folder


def helm(tree: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([program("helm"), *argv], cwd=tree, capture_output=True, text=True, check=False, timeout=60)


def files(environment: str, *more: str) -> list[str]:
    named = [f"environments/{environment}/values.yaml", *(f"{name}.yaml" for name in more)]
    return [word for name in named for word in ("--values", name)]


def template(tree: Path, environment: str, *more: str) -> str:
    done = helm(tree, "template", "on", CHART, "--namespace", f"on-{environment}", *files(environment, *more))
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(text: str, version: tuple[int, int] = (1, 2)) -> list[dict[str, Any]]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return [found for found in yaml.load_all(text) if found]


def named(documents: list[dict[str, Any]], kind: str, name: str = "on") -> dict[str, Any]:
    return next(d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)


@pytest.mark.parametrize("environment", ["no", "empty", "dev", "on-kserve", "on-rollouts", "on-seldon"])
@pytest.mark.parametrize("more", [("plain",), ("trial", "plain"), ("first", "everything"), ("first", "tls")])
def test_every_object_is_right(tree: Path, tmp_path: Path, environment: str, more: tuple[str, ...]) -> None:
    linted = helm(tree, "lint", "--strict", CHART, *files(environment, *more))
    assert linted.returncode == 0, linted.stdout + linted.stderr
    text = template(tree, environment, *more)
    documents = read(text)
    assert documents == read(text, (1, 1))  # whoever reads it, old YAML or new
    custom = [d for d in documents if "." in d["apiVersion"] and not d["apiVersion"].split("/")[0].endswith(".k8s.io")]
    custom = [d for d in custom if d["kind"] != "HTTPRoute"]
    unknown = {d["kind"] for d in custom if not crd_schemas.known(d)}
    assert unknown <= UNVERIFIED
    assert crd_schemas.check(custom) == len(custom) - len([d for d in custom if d["kind"] in UNVERIFIED])
    core = tmp_path / "core.json.yaml"
    core.write_text("\n---\n".join(json.dumps(d) for d in documents if d not in custom and d["kind"] not in UNVERIFIED))
    argv = [program("kubernetes-validate"), "--strict", "--quiet", str(core)]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    found = lint([read_text("chart.yaml", "kubernetes", text)])
    elsewhere = {"network-open"}  # security/ closes the namespace
    if not {"Deployment", "Rollout"} & {d["kind"] for d in documents}:
        elsewhere.add("service-selects-nothing")
    assert [str(item) for item in found if item.rule.id not in elsewhere] == []


def test_texts_that_yaml_retypes_stay_texts(tree: Path) -> None:
    documents = read(template(tree, "no", "first", "everything"), (1, 1))
    pod = named(documents, "Deployment")["spec"]["template"]
    assert pod["metadata"]["labels"]["track"] == "1e3"
    assert pod["metadata"]["labels"]["ring"] == "0o7"
    assert pod["metadata"]["labels"]["on"] == "y"
    assert pod["metadata"]["annotations"]["build"] == "12:30"
    assert pod["spec"]["nodeSelector"] == {"gpu": "false"}
    assert {"name": "AWS_REGION", "value": "1_000"} in pod["spec"]["containers"][0]["env"]
    assert "--env=no" in pod["spec"]["containers"][0]["args"]
    assert named(documents, "ServiceAccount")["metadata"]["annotations"] == {"role": "null"}
    release = read(named(documents, "ConfigMap", "on-release")["data"]["release.yaml"], (1, 1))[0]
    assert release["model"] == "on"
    assert release["champion"] == {"version": 12_345_678, "digest": FIRST.champion.digest}
    assert all(retyped(text) for text in ("1e3", "0o7", "y", "12:30", "null", "1_000", "no", "on"))


@pytest.mark.parametrize(("environment", "kind"), [("no", "Deployment"), ("on-rollouts", "Rollout")])
def test_a_certificate_is_mounted_and_who_asks_speaks_tls(tree: Path, environment: str, kind: str) -> None:
    plain, by_tls = (read(template(tree, environment, "first", name)) for name in ("plain", "tls"))
    spec = named(by_tls, kind)["spec"]["template"]["spec"]
    container = spec["containers"][0]
    assert {"name": "tls", "secret": {"secretName": "0e1", "defaultMode": 0o440}} in spec["volumes"]
    folder = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "tls")
    assert {f"--tls-cert={folder}/tls.crt", f"--tls-key={folder}/tls.key"} <= set(container["args"])
    schemes = {name: container[name]["httpGet"].get("scheme") for name in container if name.endswith("Probe")}
    assert schemes == {"startupProbe": None, "readinessProbe": "HTTPS", "livenessProbe": None}  # the others: metrics
    for found, protocol in ((plain, None), (by_tls, "https")):
        ports = [port for d in found if d["kind"] == "Service" for port in d["spec"]["ports"] if port["name"] == "http"]
        assert {port.get("appProtocol") for port in ports} == {protocol}
    asked = {name: named(found, "Pod", "on-test")["spec"]["containers"][0]["args"][0] for name, found in
             (("http:", plain), ("https:", by_tls))}  # fmt: skip
    assert all(f'"{scheme}//on:8080/' in text for scheme, text in asked.items())
    assert ("context" in asked["http:"], "context" in asked["https:"]) == (False, True)
    assert not any("tls" in json.dumps(d) for d in plain if d["kind"] == kind)


def test_a_release_rolls_no_pod_and_a_log_rule_does(tree: Path) -> None:
    first, trial = (read(template(tree, "no", name)) for name in ("first", "trial"))
    assert named(first, "Deployment") == named(trial, "Deployment")
    told = [named(found, "ConfigMap", "on-release")["data"]["release.yaml"] for found in (first, trial)]
    assert [json.loads(text) for text in told] == [to_document(FIRST), to_document(TRIAL)]
    (tree / "rules.yaml").write_text('{"serving": {"log": {"sample": 0.5}}}', "utf-8")
    assert named(read(template(tree, "no", "first", "rules")), "Deployment") != named(first, "Deployment")


def test_a_pod_is_given_time_to_leave(tree: Path) -> None:
    pod = named(read(template(tree, "no", "first")), "Deployment")["spec"]["template"]["spec"]
    drain = next(int(word.partition("=")[2]) for word in pod["containers"][0]["args"] if word.startswith("--drain"))
    assert "--online=redis://f.redis.svc" in pod["containers"][0]["args"]
    asked = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in pod["containers"][0]["env"]}
    assert asked["ONLINE_PASSWORD"] == {"name": "on-stores", "key": "ONLINE_PASSWORD", "optional": True}
    before = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= before + drain + 10


@pytest.mark.parametrize(
    ("environment", "more", "said"),
    [("no", (), "no release. `mainspring promote"), ("empty", ("first",), "no image. Build ml-api/Dockerfile"),
     ("no", ("first",), "on version 12345678 serves in on-no (deployment).")],
)  # fmt: skip
def test_notes_say_what_is_missing_or_how_to_ask(
    tree: Path, environment: str, more: tuple[str, ...], said: str
) -> None:
    argv = ["install", "on", CHART, "--namespace", f"on-{environment}", "--dry-run=client", *files(environment, *more)]
    done = helm(tree, *argv)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout.partition("NOTES:")[2]
    assert ("kind: Deployment" in done.stdout) == ("serves in" in said)


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 3}, {"server": {"drain": 5}}, {"image": "registry.example/ml-api:latest"}, {"platform": "local"},
        {"replicas": {"min": "2", "max": 3}}, {"autoscaling": {"kind": "vpa"}}, {"stores": {"models": "ftp://models"}},
        {"stores": {"env": {"lower": "x"}}}, {"trust": {"a.pem": "secret"}}, {"serving": {"log": {"sampel": 1}}},
        {"schema": 2}, {"champion": {"version": 1, "digest": "latest"}}, {"champion": {"version": 0}},
        {"challenger": {"version": 1, "digest": FIRST.champion.digest, "weight": 101}}, {"modle": "on"},
        {"plan": {"steps": [5, 100], "hold": "six hours"}}, {"project": {"environment": "Prod"}},
        {"resources": {"limits": {"memory": None}}}, {"server": {"logSinks": ["s3:/x"]}},
        {"stores": {"online": "redis://user:word@f:6379"}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_bad_value_is_refused(tree: Path, tmp_path: Path, values: Mapping[str, object]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(values), "utf-8")
    done = helm(tree, "template", "on", CHART, *files("no", "first"), "--values", str(bad))
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


def test_a_disruption_takes_one_pod_at_a_time_on_every_platform_and_never_waits_for_a_lone_one(tree: Path) -> None:
    for environment in ("no", "on-kserve", "on-rollouts", "on-seldon"):
        budget = named(read(template(tree, environment, "first")), "PodDisruptionBudget")
        assert budget["spec"]["maxUnavailable"] == 1
    assert "PodDisruptionBudget" not in {d["kind"] for d in read(template(tree, "dev", "first"))}


def test_another_models_release_is_refused(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(release_text(to_document(replace(FIRST, model="off")), "no", None))
    done = helm(tree, "template", "on", CHART, *files("no"), "--values", str(other))
    assert done.returncode != 0
    assert "release.yaml is of the model off, this chart serves on" in done.stderr


def test_it_is_packaged_with_all_its_files(tree: Path, tmp_path: Path) -> None:
    import tarfile

    done = helm(tree, "package", CHART, "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    chart = tree / CHART
    kept = {p.relative_to(chart).as_posix() for p in chart.rglob("*") if p.is_file()}
    assert packed == kept - {"templates/.gitkeep"}


@pytest.mark.parametrize("name", ["Dockerfile", "steps.Dockerfile"])
def test_hadolint_finds_nothing_in_the_images(tree: Path, name: str) -> None:
    argv = [program("hadolint"), str(tree / "ml-api" / name)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
