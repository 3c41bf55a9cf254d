"""The same release on every platform: who answers for which version, with which share, judged by which metrics."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import charts, kube_schemas, tools
from tests.unit.deliver.render_subject import place, subject

from mainspring.deliver.documents import from_document
from mainspring.deliver.release import Release
from mainspring.deliver.render.subject import Vault
from mainspring.entry.inference import metrics

pytestmark = pytest.mark.tools
STORES = {"models": "s3://models/a"}
PLACES: dict[str, dict[str, Any]] = {
    "deployment": {}, "rollouts": {}, "kserve": {}, "knative": {"serverless": True}, "seldon": {},
    "seldon-v2": {"seldon": "v2"},
}  # fmt: skip
PLATFORM = {"knative": "kserve", "seldon-v2": "seldon"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets")
    places = [
        place(name, PLATFORM.get(name, name), stores=STORES, replicas=(2, 4), **more) for name, more in PLACES.items()
    ]
    charts.write(subject(*places), folder)
    return folder


def objects(folder: Path, where: str, **challenger: object) -> dict[tuple[str, str], dict[str, Any]]:
    documents = charts.read(charts.template(folder, where, charts.release(**challenger)))
    kube_schemas.check(documents)
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def roles(found: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Release]:
    data = found["ConfigMap", "flight-delay-release"]["data"]
    return {name: from_document(charts.read(text)[0]) for name, text in data.items()}


CANARY: dict[str, Any] = {"weight": 25, "mode": "canary"}


def test_the_plain_deployment_leaves_the_split_to_the_server(written: Path) -> None:
    found = objects(written, "deployment", **CANARY)
    assert set(roles(found)) == {"release.yaml"}
    assert roles(found)["release.yaml"].challenger is not None


@pytest.mark.parametrize("where", ["rollouts", "kserve", "knative", "seldon"])
def test_each_pod_answers_by_one_version_and_scores_both(written: Path, where: str) -> None:
    found = roles(objects(written, where, **CANARY))
    stable, tried = found["v7.yaml"], found["v8.yaml"]
    assert stable.challenger is not None
    assert tried.challenger is not None
    assert (stable.challenger.weight, stable.challenger.mode) == (0, "shadow")
    assert (tried.challenger.weight, tried.challenger.mode) == (100, "canary")
    assert stable.champion == tried.champion == found["release.yaml"].champion
    alone = roles(objects(written, where))
    assert set(alone) == {"release.yaml", "v7.yaml"}
    assert alone["v7.yaml"].challenger is None


@pytest.mark.parametrize("where", ["rollouts", "kserve", "knative"])
def test_a_shadow_or_a_bandit_is_the_servers_own_and_restarts_no_pod(written: Path, where: str) -> None:
    kinds = ("Rollout", "InferenceService")
    for mode in ({"weight": 0, "mode": "shadow"}, {"weight": 20, "mode": "bandit", "floor": 5}):
        found = objects(written, where, **mode)
        assert roles(found)["v7.yaml"] == roles(found)["release.yaml"]
        before = [d["spec"] for key, d in objects(written, where).items() if key[0] in kinds]
        assert [d["spec"] for key, d in found.items() if key[0] in kinds] == before


def test_kserve_splits_by_the_release_files_weight_in_both_modes(written: Path) -> None:
    standard = objects(written, "kserve", **CANARY)["InferenceService", "flight-delay"]
    assert standard["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert standard["spec"]["predictor"]["name"] == "v7"
    (canary,) = standard["spec"]["canary"]
    assert (canary["trafficPercent"], canary["predictor"]["name"]) == (25, "v8")
    assert canary["predictor"]["model"]["args"] == ["--release-file=/etc/mainspring/v8.yaml"]
    assert not {"maxReplicas", "scaleTarget", "scaleMetric"} & set(canary["predictor"])
    promoted = charts.release() | {"champion": {"version": 8, "digest": charts.CHALLENGER}}
    after = charts.read(charts.template(written, "kserve", promoted))
    (service,) = [d for d in after if d["kind"] == "InferenceService"]
    assert service["spec"]["predictor"]["name"] == "v8"  # the canary's Deployment becomes the stable one: no restart
    assert "canary" not in service["spec"]
    knative = objects(written, "knative", **CANARY)["InferenceService", "flight-delay"]["spec"]
    assert knative["predictor"]["canaryTrafficPercent"] == 25
    assert knative["predictor"]["model"]["args"] == ["--release-file=/etc/mainspring/v8.yaml"]
    assert "canary" not in knative
    assert (
        "canaryTrafficPercent"
        not in objects(written, "knative")["InferenceService", "flight-delay"]["spec"]["predictor"]
    )


def test_knative_gets_only_what_it_takes(written: Path) -> None:
    runtime = objects(written, "knative")["ServingRuntime", "flight-delay"]["spec"]["containers"][0]
    assert runtime["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    assert "lifecycle" not in runtime
    assert {runtime[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} == {8080}


def test_every_platform_runs_the_deployments_container(written: Path) -> None:
    plain = objects(written, "deployment")["Deployment", "flight-delay"]["spec"]["template"]["spec"]
    rollout = objects(written, "rollouts")["Rollout", "flight-delay"]["spec"]["template"]["spec"]
    seldon = objects(written, "seldon")["SeldonDeployment", "flight-delay"]["spec"]["predictors"][0]
    kserve = objects(written, "kserve")
    runtime = kserve["ServingRuntime", "flight-delay"]["spec"]["containers"][0]
    predictor = kserve["InferenceService", "flight-delay"]["spec"]["predictor"]
    wanted = {key: value for key, value in plain["containers"][0].items() if key not in ("name", "args")}
    for container in (rollout["containers"][0], seldon["componentSpecs"][0]["spec"]["containers"][0], runtime):
        assert {key: value for key, value in container.items() if key not in ("name", "args")} == wanted
    for pod in (rollout, seldon["componentSpecs"][0]["spec"], predictor):
        assert pod["volumes"] == plain["volumes"]
        assert pod["securityContext"] == plain["securityContext"]
        assert pod["serviceAccountName"] == "flight-delay"


def test_seldon_splits_or_mirrors(written: Path) -> None:
    split = objects(written, "seldon", **CANARY)["SeldonDeployment", "flight-delay"]["spec"]["predictors"]
    assert [(p["name"], p["traffic"]) for p in split] == [("v7", 75), ("v8", 25)]
    found = objects(written, "seldon", weight=0, mode="shadow")
    stable, shadow = found["SeldonDeployment", "flight-delay"]["spec"]["predictors"]
    assert (stable["traffic"], shadow["shadow"], "traffic" in shadow) == (100, True, False)
    assert roles(found)["v7.yaml"].challenger is None  # the mirror's pods score both; these would do it twice
    second = objects(written, "seldon-v2", **CANARY)
    assert ("SeldonDeployment", "flight-delay") not in second
    assert [c["weight"] for c in second["Experiment", "flight-delay"]["spec"]["candidates"]] == [75, 25]
    uri = second["Model", "flight-delay-v8"]["spec"]["storageUri"]
    assert uri == f"s3://models/a/sha256/88/{'8' * 64}/files"


def test_rollouts_walk_the_plan_and_never_the_weight(written: Path) -> None:
    found = objects(written, "rollouts", **CANARY)
    rollout = found["Rollout", "flight-delay"]["spec"]
    steps = rollout["strategy"]["canary"]["steps"]
    assert [s["setWeight"] for s in steps if "setWeight" in s] == charts.PLAN["steps"]
    assert {s["pause"]["duration"] for s in steps if "pause" in s} == {"21600s"}
    later = objects(written, "rollouts", weight=100, mode="canary")["Rollout", "flight-delay"]["spec"]
    assert later == rollout  # a commit that moves the weight changes nothing here
    assert "--release-file=/etc/mainspring/v8.yaml" in rollout["template"]["spec"]["containers"][0]["args"]
    named = {s["analysis"]["templates"][0]["templateName"] for s in steps if "analysis" in s}
    named |= {t["templateName"] for t in rollout["strategy"]["canary"]["analysis"]["templates"]}
    assert {("AnalysisTemplate", name) for name in named} <= set(found)
    for role in ("stableService", "canaryService"):
        service = found["Service", rollout["strategy"]["canary"][role]]
        assert service["metadata"]["labels"]["app.kubernetes.io/component"] != "server"  # or it is scraped twice
        assert service["spec"]["selector"] == rollout["selector"]["matchLabels"]


def test_analysis_asks_for_metrics_that_the_server_has_and_holds_the_plans_limits(written: Path) -> None:
    found = objects(written, "rollouts", **CANARY)
    queries, conditions = [], []
    for kind, name in found:
        if kind == "AnalysisTemplate":
            for metric in found[kind, name]["spec"]["metrics"]:
                queries.append(metric["provider"]["prometheus"]["query"].replace("{{args.hash}}", "abc"))
                conditions.append(metric["successCondition"])
                assert "isNaN" in metric["successCondition"]
    source = Path(metrics.__file__).read_text()
    for query in queries:
        names = {word for word in query.replace("(", " ").replace("{", " ").split() if word.startswith("mainspring_")}
        assert names
        for name in names:
            assert f'"{name.removesuffix("_total").removesuffix("_bucket")}"' in source
    assert [limit.rpartition(" ")[2] for limit in conditions] == ["0.01", "0.05", "500"]
    parse = "import promql_parser, sys\nfor line in sys.stdin.read().split('\\0'): promql_parser.parse(line)"
    done = subprocess.run([tools.python("delivery"), "-c", parse], input="\0".join(queries), text=True, check=False)
    assert done.returncode == 0


def test_before_the_first_release_nothing_serves(written: Path) -> None:
    kinds = {"Rollout", "InferenceService", "ServingRuntime", "SeldonDeployment", "Model", "AnalysisTemplate"}
    for where in PLACES:
        documents = charts.read(charts.template(written, where, None))
        assert not kinds & {d["kind"] for d in documents}


def test_the_agents_files_stand_where_secrets_would_be_mounted(tmp_path: Path) -> None:
    source = Vault(means="agent", address="https://vault.vault.svc:8200", mount="ml", auth="kubernetes")
    made = replace(subject(place("dev", "deployment", stores=STORES)), vault=source)
    charts.write(made, tmp_path)
    found = {d["kind"]: d for d in charts.read(charts.template(tmp_path, "dev", charts.release()))}
    pod = found["Deployment"]["spec"]["template"]
    assert kube_schemas.mistakes(found["Deployment"]) == []
    mounts = {mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    written = {
        value for key, value in pod["metadata"]["annotations"].items() if "secret-volume-path" in key
    }  # the agent mounts its own volume there: a second mount would be refused
    assert written == {"/var/run/mainspring/tokens", "/var/run/mainspring/scrape"}
    assert not mounts & written
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert "tokens" not in volumes
    (token,) = volumes["vault-token"]["projected"]["sources"]
    assert token["serviceAccountToken"]["audience"] == "vault"
    assert pod["spec"]["automountServiceAccountToken"] is False
    name = pod["metadata"]["annotations"]["vault.hashicorp.com/agent-service-account-token-volume-name"]
    assert name == "vault-token"
