"""Workflows: exit codes as everywhere, one run at a time, one scheduler, every name that is used exists."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests import crd_schemas
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import access, argocd, networks, workflows
from mainspring.deliver.render.content import Objects
from mainspring.deliver.render.subject import Place, Subject, logged_to
from mainspring.deliver.render.vault import wanted
from mainspring.develop.steps import STEPS
from mainspring.kernel.needs import StepNeeds
from mainspring.security.lint import lint

STORES = {"ledger": "secret://vault/ml/ledger#url", "models": "s3://models", "tables": "s3://tables"}
IMAGE = "registry.example/steps@sha256:" + "b" * 64
PLACES = (
    place("dev", "deployment", scheduler="cronjob", steps_image=IMAGE),
    place("staging", "deployment", scheduler="cronworkflow", steps_image=IMAGE),
    place("production", "kserve", scheduler="cronworkflow", stores=STORES, steps_image=IMAGE, data_claim="flights"),
)
NEEDS = {
    "train-model": StepNeeds(cpu_m=4000, memory_mi=8192, gpu=1, seconds=7200, lock="src/train.lock"),
    **{name: StepNeeds() for name in ("fetch-data", "preprocess", "validate-model", "register-model", "others")},
}
FULL = replace(subject(*PLACES), steps=NEEDS, search=True)
DEV, STAGING, PRODUCTION = FULL.places


def documents(project: Subject, where: Place) -> list[dict[str, Any]]:
    content = workflows.files(project)[f"workflows/{where.name}.yaml"]
    assert isinstance(content, Objects)
    return [dict(document) for document in content.documents]


def named(where: Place, kind: str, name: str, project: Subject = FULL) -> dict[str, Any]:
    (found,) = [d for d in documents(project, where) if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pods(where: Place = PRODUCTION) -> dict[str, dict[str, Any]]:
    found = named(where, "WorkflowTemplate", "flight-delay-retrain")["spec"]["templates"]
    return {template["name"]: template for template in found if "container" in template}


def walk(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, path)


def test_every_object_is_right_and_safe() -> None:
    texts = []
    for make in (workflows.files, access.files, networks.files):
        for path, content in make(FULL).items():
            assert isinstance(content, Objects)
            crd_schemas.check(content.documents)
            texts.append(read_text(path, "kubernetes", dump(content)))
    assert [str(finding) for finding in lint(texts)] == []
    assert crd_schemas.check(documents(FULL, PRODUCTION)) == 6


def test_a_step_is_the_process_that_the_local_runner_starts() -> None:
    for step in STEPS:
        container = pods()[step.name]["container"]
        assert container["command"] == ["mainspring"]
        assert container["args"][:4] == ["step", step.name, "--run", "{{inputs.parameters.run}}"]
        assert container["image"] == IMAGE
        assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]
    tasks = named(PRODUCTION, "WorkflowTemplate", "flight-delay-retrain")["spec"]["templates"][0]["dag"]["tasks"]
    assert [task["name"] for task in tasks] == ["begin", *(step.name for step in STEPS), "release"]


def test_only_75_and_a_lost_pod_are_tried_again_with_growing_pauses() -> None:
    for template in pods().values():
        again = template["retryStrategy"]
        assert again["expression"] == "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 75"
        assert (again["retryPolicy"], again["backoff"]["factor"]) == ("Always", 2)
    job = named(DEV, "CronJob", "flight-delay-watch")["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [1, 2, 3])
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (2, "Never")


def test_a_refused_candidate_ends_the_workflow_by_its_last_task() -> None:
    tasks = named(PRODUCTION, "WorkflowTemplate", "flight-delay-retrain")["spec"]["templates"][0]["dag"]["tasks"]
    assert tasks[-1]["depends"] == "register-model.Succeeded || register-model.Failed"
    begun = [task.get("when") for task in tasks]
    assert begun == [None, "{{tasks.begin.outputs.parameters.begun}} == yes", *[None] * 5]  # later ones are omitted
    assert [task["depends"] for task in tasks[1:-1]] == [f"{task['name']}.Succeeded" for task in tasks[:-2]]


def test_one_retraining_at_a_time_and_nothing_without_an_end() -> None:
    retrain = named(PRODUCTION, "WorkflowTemplate", "flight-delay-retrain")["spec"]
    assert retrain["templates"][0]["synchronization"] == {"mutexes": [{"name": "flight-delay-retrain"}]}
    assert retrain["onExit"] == "end"
    assert pods()["train-model"]["activeDeadlineSeconds"] == 7200
    for kind in ("WorkflowTemplate", "CronWorkflow"):
        for document in documents(FULL, PRODUCTION):
            if document["kind"] == kind:
                spec = document["spec"]
                assert spec.get("workflowSpec", spec)["activeDeadlineSeconds"] > 7200
    assert {"podGC", "ttlStrategy"} <= retrain.keys()


def test_so_many_fits_at_once_a_searchs_too() -> None:
    limits = named(PRODUCTION, "ConfigMap", "flight-delay-limits")
    (held,) = [template for template in pods().values() if "synchronization" in template]
    key = held["synchronization"]["semaphores"][0]["configMapKeyRef"]
    assert (held["name"], key["name"]) == ("train-model", limits["metadata"]["name"])
    assert int(limits["data"][key["key"]]) > 0
    search = named(PRODUCTION, "WorkflowTemplate", "flight-delay-search")["spec"]["templates"]
    assert {"name": "flight-delay-retrain", "template": "train-model"} in [v for _, v in walk(search)]


def test_user_code_runs_without_ledger_and_key() -> None:
    found = {name: json.dumps(template) for name, template in pods().items()}
    assert {name for name, text in found.items() if "LEDGER_URL" in text} == {
        "begin",
        "register-model",
        "release",
        "end",
    }
    assert {name for name, text in found.items() if "flight-delay-signing" in text} == {"register-model", "release"}
    assert {name for name, text in found.items() if "flight-delay-git" in text} == {"release"}
    assert all("secret://" not in text for text in found.values())


def test_only_the_watch_writes_features_where_pods_read_them() -> None:
    where = replace(PRODUCTION, stores={**STORES, "online": "secret://vault/ml/features#url"})
    project = replace(FULL, places=(where,))
    for document in documents(project, where):
        for template in document.get("spec", {}).get("templates", ()):
            names = {entry["name"] for entry in template.get("container", {}).get("env", ())}
            wanted = {"ONLINE_URL", "ONLINE_USERNAME", "ONLINE_PASSWORD"} if template["name"] == "watch" else set()
            assert {name for name in names if name.startswith("ONLINE_")} == wanted
    assert named(where, "WorkflowTemplate", "flight-delay-watch", project)


def test_needs_become_requests_limits_and_a_node_with_the_device() -> None:
    train = pods()["train-model"]
    asked = {"cpu": "4000m", "memory": "8192Mi"}
    assert train["container"]["resources"] == {"requests": asked, "limits": {**asked, "nvidia.com/gpu": "1"}}
    assert train["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert "nodeSelector" not in pods()["preprocess"]


@pytest.mark.parametrize("where", [DEV, PRODUCTION], ids=lambda where: where.name)
def test_pods_of_steps_run_where_the_project_file_says(where: Place) -> None:
    taint = {"key": "spot", "value": "yes", "effect": "NoSchedule"}
    steps = {"node_selector": {"pool": "ml"}, "tolerations": (taint,), "pull_secrets": ("r",), "priority_class": "low"}
    moved = replace(where, options={"placement": {"steps": steps}})
    made = documents(replace(FULL, places=(moved,)), moved)
    jobs = [d["spec"]["jobTemplate"]["spec"]["template"]["spec"] for d in made if d["kind"] == "CronJob"]
    templates = [one for d in made if d["kind"] == "WorkflowTemplate" for one in d["spec"]["templates"]]
    pods = [*jobs, *(one for one in templates if "container" in one)]
    assert pods
    for pod in pods:
        assert pod["nodeSelector"]["pool"] == "ml"
        assert pod["tolerations"][-1] == {**taint, "operator": "Equal"}
        assert pod["priorityClassName"] == "low"
    found = access.files(replace(FULL, places=(moved,)))[access.PATH]
    assert isinstance(found, Objects)
    pulls = {d["metadata"]["name"]: d.get("imagePullSecrets") for d in found.documents if d["kind"] == "ServiceAccount"}
    assert {name for name, secrets in pulls.items() if secrets == [{"name": "r"}]} == (
        {f"{FULL.name}-watch"} if where is DEV else {f"{FULL.name}-watch", f"{FULL.name}-steps"}
    )


@pytest.mark.parametrize("where", PLACES, ids=lambda where: where.name)
def test_one_scheduler_never_both_at_known_times(where: Place) -> None:
    kinds = [document["kind"] for document in documents(FULL, where)]
    assert ("CronJob" in kinds, "CronWorkflow" in kinds) == (where.name == "dev", where.name != "dev")
    assert ("WorkflowEventBinding" in kinds) == (where.name == "production")
    kind = "CronJob" if where.name == "dev" else "CronWorkflow"
    spec = named(where, kind, "flight-delay-watch")["spec"]
    assert spec.get("schedule", spec.get("schedules")) in ("0 */6 * * *", ["0 */6 * * *"])
    assert spec.get("timeZone", spec.get("timezone")) == "UTC"
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Forbid", 2160)


@pytest.mark.parametrize("schedule", ["0 0 * * *", "1 1 1 1 1", "*/15 * * * *"])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_schedules_and_defaults_stay_texts_in_every_yaml(schedule: str, version: str) -> None:
    project = replace(FULL, places=(replace(PRODUCTION, schedule=schedule),))
    content = workflows.files(project)["workflows/production.yaml"]
    assert isinstance(content, Objects)
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    for read, made in zip(yaml.load_all(dump(content)), content.documents, strict=True):
        assert json.loads(json.dumps(read)) == json.loads(json.dumps(made))


def test_every_name_that_is_used_exists() -> None:
    content = access.files(FULL)["security/rbac-minimal.yaml"]
    assert isinstance(content, Objects)
    there = {
        "account": {d["metadata"]["name"] for d in content.documents if d["kind"] == "ServiceAccount"},
        "secret": {f"flight-delay-{name}" for name in ("stores", "signing", "git")},
    }
    for where in PLACES:
        found = documents(FULL, where)
        names = {
            kind: {d["metadata"]["name"] for d in found if d["kind"] == kind}
            for kind in ("ConfigMap", "PersistentVolumeClaim", "WorkflowTemplate")
        }
        there["map"] = names["ConfigMap"] | {"flight-delay-release", "flight-delay-trust"}  # these two: the chart's
        there["claim"] = names["PersistentVolumeClaim"] | {"flights"}
        there["whole"] = names["WorkflowTemplate"]
        there["template"] = {
            f"{d['metadata']['name']}/{template['name']}"
            for d in found for template in d.get("spec", {}).get("templates", ()) if d["kind"] == "WorkflowTemplate"
        }  # fmt: skip
        for document in found:
            missing = [(kind, name) for kind, name in used(document) if name not in there[kind]]
            assert missing == []


NAMED = {
    "secretKeyRef": ("secret", "name"), "secret": ("secret", "secretName"), "configMap": ("map", "name"),
    "persistentVolumeClaim": ("claim", "claimName"), "workflowTemplateRef": ("whole", "name"),
}  # fmt: skip


def used(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of everything that a document refers to."""
    own = document["metadata"]["name"]
    for path, value in walk(document):
        last = path[-1] if path else ""
        if last in NAMED:
            kind, key = NAMED[last]
            yield kind, value[key]
        elif last == "serviceAccountName":
            yield "account", value
        elif last in ("entrypoint", "onExit") or path[-2:] == ("tasks", "template"):
            yield "template", f"{own}/{value}"
        elif last == "templateRef":
            yield "template", f"{value['name']}/{value['template']}"


def test_parameters_that_are_read_are_inputs_and_those_that_are_given_are_taken() -> None:
    for template in pods().values():
        inputs = {item["name"] for item in template.get("inputs", {}).get("parameters", [])}
        text = json.dumps(template["container"])
        assert {part.split("}}")[0] for part in text.split("{{inputs.parameters.")[1:]} == inputs
    for _, task in walk(documents(FULL, PRODUCTION)):
        if isinstance(task, dict) and "arguments" in task and ("template" in task or "templateRef" in task):
            name = task.get("template") or task["templateRef"]["template"]
            if name in pods():
                given = {item["name"] for item in task["arguments"]["parameters"]}
                taken = pods()[name]["inputs"]["parameters"]
                assert given <= {item["name"] for item in taken}
                assert {item["name"] for item in taken if "value" not in item} <= given


def test_scoring_fans_out_over_periods_each_in_a_place_of_its_own() -> None:
    serving = {"log": {"sinks": [{"to": "https://x.example"}, {"to": "s3://logs/flights"}]}}
    logged = replace(FULL, places=(replace(PRODUCTION, serving=serving),))
    spec = named(logged.places[0], "WorkflowTemplate", "flight-delay-score", logged)["spec"]
    every, period = spec["templates"]
    assert every["dag"]["tasks"][0]["withParam"] == "{{workflow.parameters.periods}}"
    words = " ".join(period["container"]["args"])
    assert "--period {{inputs.parameters.from}} {{inputs.parameters.to}}" in words
    assert "--to s3://tables/scores/{{inputs.parameters.job}}/{{inputs.parameters.from}}" in words
    assert words.endswith("--log-sink s3://logs/flights")
    watch = named(logged.places[0], "WorkflowTemplate", "flight-delay-watch", logged)["spec"]["templates"][1]
    assert "--log s3://logs/flights" in " ".join(watch["container"]["args"])


def test_argo_cd_may_apply_every_kind_once_listed() -> None:
    content = argocd.files(FULL)["argocd/project.yaml"]
    assert isinstance(content, Objects)
    listed = [(item["group"], item["kind"]) for item in content.documents[0]["spec"]["namespaceResourceWhitelist"]]
    assert len(listed) == len(set(listed))
    for where in PLACES:
        kinds = {(d["apiVersion"].rpartition("/")[0], d["kind"]) for d in documents(FULL, where)}
        assert kinds <= set(listed)


def test_an_alert_that_fires_starts_the_retraining_with_its_name_as_the_reason() -> None:
    spec = named(PRODUCTION, "WorkflowEventBinding", "flight-delay-drift")["spec"]
    assert spec["event"]["selector"] == 'discriminator == "flight-delay-drift" && payload.status == "firing"'
    parameter, trigger = spec["submit"]["arguments"]["parameters"]
    assert trigger == {"name": "trigger", "valueFrom": {"event": '"alert"'}}  # so `begin` weighs it by the policy
    assert parameter == {"name": "reason", "valueFrom": {"event": '"alert " + payload.commonLabels.alertname'}}


def test_what_pods_mount_is_fetched_from_the_vault() -> None:
    from mainspring.deliver.render.subject import Vault

    vault = Vault(means="external-secrets", address="https://vault.example", mount="ml", auth="kubernetes")
    found = wanted(FULL, PRODUCTION, vault)
    assert set(found["signing"]) == {"signing.pem", "signing.pub"}
    assert set(found["git"]) == {"username", "token"}
    assert {"signing", "git"}.isdisjoint(wanted(subject(place("dev", "deployment")), place("dev", "deployment"), vault))


def test_a_watch_reads_the_log_from_the_first_object_sink() -> None:
    def logs(serving: dict[str, object]) -> str:
        return logged_to(replace(DEV, serving=serving))

    sinks: list[object] = ["https://collector.example/events", {"to": "s3://logs/predictions"}, "gs://other"]
    assert logs({"log": {"sinks": sinks}}) == "s3://logs/predictions"
    assert {logs({}), logs({"log": None}), logs({"log": {"sinks": ["http://x"]}})} == {""}
    project = replace(FULL, places=(replace(DEV, serving={"log": {"sinks": sinks}}),))
    job = named(DEV, "CronJob", "flight-delay-watch", project)["spec"]["jobTemplate"]["spec"]
    words = " ".join(job["template"]["spec"]["containers"][0]["args"])
    assert "--log s3://logs/predictions" in words
