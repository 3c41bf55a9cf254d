"""Workflows: least rights, pinned actions, secrets in single steps, nothing pasted into scripts; and what to set."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.deliver.render_subject import place, subject

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import checks, github, images, pipeline
from mainspring.deliver.render.content import Objects
from mainspring.deliver.render.needs import needs
from mainspring.deliver.render.pins import ACTIONS
from mainspring.deliver.render.subject import Subject
from mainspring.security.lint import lint

STORES = {"ledger": "secret://vault/ml/ledger#url", "models": "s3://models", "tables": "s3://tables"}
_NAME = re.compile(r"\b(secrets|vars)\.(\w+)")


def project(**more: object) -> Subject:
    places = (
        place("dev", "deployment", stores=STORES),
        place("staging", "kserve", stores={"models": "gs://models", "ledger": "secret://env/STAGING_LEDGER"}),
        place("production", "rollouts", approvals=2, scheduler="cronworkflow", stores=STORES),
    )
    return replace(subject(*places), **{"registry": "ghcr.io/ops/flight-delay", **more})  # type: ignore[arg-type]


def workflows(of: Subject) -> dict[str, dict[str, Any]]:
    found = {}
    for path, content in github.files(of).items():
        assert isinstance(content, Objects)
        found[path.rpartition("/")[2]] = dict(content.documents[0])
    return found


def every_step(of: Subject) -> list[dict[str, Any]]:
    return [step for flow in workflows(of).values() for job in flow["jobs"].values() for step in job["steps"]]


def texts(of: Subject) -> str:
    return "\n".join(dump(content) for content in github.files(of).values() if isinstance(content, Objects))


def test_rights_are_none_at_the_top_and_few_in_jobs() -> None:
    flows = workflows(project())
    assert set(flows) == {"ci.yml", "release.yml", "promote.yml", "watch.yml"}
    for name, flow in flows.items():
        assert flow["permissions"] == {}
        for key, job in flow["jobs"].items():
            wanted = {"contents": "read"}
            if key == "images":
                wanted |= {"id-token": "write", "packages": "write"}
            elif key.startswith(("promote-", "watch-")):
                wanted = {"contents": "write"}
            assert job["permissions"] == wanted, (name, key)
            assert 0 < job["timeout-minutes"] <= 180


def test_every_action_is_pinned_by_its_commit_and_keeps_no_token() -> None:
    pinned = {f"{name}@{commit}" for name, (commit, _) in ACTIONS.items()}
    used = [step for step in every_step(project()) if "uses" in step]
    assert {step["uses"] for step in used} == pinned
    assert all(step["with"]["persist-credentials"] is False for step in used if "checkout" in step["uses"])


def test_no_expression_stands_in_a_script() -> None:
    scripts = [step["run"] for step in every_step(project()) if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)
    assert not re.search(r"github\.(event\.|head_ref)", texts(project()))
    assert "sed " not in "".join(scripts)


@pytest.mark.parametrize("login", ["token", "dockerhub"])
def test_what_workflows_read_is_what_is_asked_for(login: str) -> None:
    for registry in ("ghcr.io/ops/flight-delay", "docker.io/ops/flight-delay", "registry.example/ops/flight-delay"):
        of = project(login=login, registry=registry)
        read = {(kind, name) for kind, name in _NAME.findall(texts(of))}
        kinds = {"secret": "secrets", "variable": "vars"}
        asked = {(kinds[need.kind], need.name) for need in needs(of) if need.kind in kinds}
        assert read == asked


def test_each_environment_is_asked_for_and_who_approves_waits_alone() -> None:
    flows = workflows(project())
    used = {job["environment"] for flow in flows.values() for job in flow["jobs"].values() if "environment" in job}
    assert used == {need.name for need in needs(project()) if need.kind == "environment"}
    assert flows["promote.yml"]["jobs"]["promote-production"]["environment"] == "production"
    production = next(need for need in needs(project()) if need.name == "production")
    assert "2 people" in production.make
    guarded = project(places=(place("production", "deployment", approvals=1, stores=STORES),))
    train = workflows(guarded)["release.yml"]["jobs"]["train"]
    assert train["environment"] == "production-unattended"  # training waits for nobody
    key = next(need for need in needs(guarded) if need.name == "MAINSPRING_SIGNING_KEY")
    assert key.environments == ("production", "production-unattended")


def test_what_a_need_says_of_its_uses_is_true() -> None:
    flows = workflows(project())
    for need in needs(project()):
        for use in need.used:
            flow, _, job = use.partition("/")
            text = json.dumps(flows[f"{flow}.yml"]["jobs"][job])
            assert need.name in text, need


def test_logins() -> None:
    def options(**more: object) -> dict[str, str]:
        step = next(step for step in every_step(project(**more)) if "login-action" in step.get("uses", ""))
        return dict(step["with"])

    assert options()["password"] == "${{ github.token }}"
    hub = options(login="dockerhub", registry="docker.io/ops/flight-delay")
    assert (hub["registry"], hub["username"]) == ("docker.io", "${{ secrets.DOCKERHUB_USERNAME }}")
    other = options(registry="registry.example:5000/ops/flight-delay")
    assert (other["registry"], other["password"]) == ("registry.example:5000", "${{ secrets.REGISTRY_TOKEN }}")
    rights = workflows(project(registry="registry.example/ops"))["release.yml"]["jobs"]["images"]["permissions"]
    assert "packages" not in rights


def test_a_release_enters_the_first_environment_and_somebody_asks_for_the_rest() -> None:
    flows = workflows(project())
    assert flows["release.yml"]["jobs"]["promote-dev"]["needs"] == ["train", "images"]
    onwards = flows["promote.yml"]
    assert onwards["on"]["workflow_dispatch"]["inputs"]["environment"]["options"] == ["staging", "production"]
    job = onwards["jobs"]["promote-production"]
    assert job["if"] == "${{ inputs.environment == 'production' }}"
    step = job["steps"][-1]
    assert step["env"]["BEFORE"] == "staging"  # what is there already, by digest
    assert "DIGEST" not in step["env"]
    assert "promote.yml" not in workflows(project(places=(place("dev", "deployment"),)))


def test_only_what_is_unscheduled_is_watched() -> None:
    assert set(workflows(project())["watch.yml"]["jobs"]) == {"watch-dev", "watch-staging"}
    scheduled = project(places=(place("dev", "deployment", scheduler="cronjob"),))
    assert "watch.yml" not in workflows(scheduled)


def test_each_schedule_starts_its_own_watch_and_somebody_who_asks_starts_all() -> None:
    one = workflows(project())["watch.yml"]
    assert one["on"]["schedule"] == [{"cron": "0 */6 * * *"}]
    assert all("if" not in job for job in one["jobs"].values())  # one schedule: all are meant
    staging = place("staging", "kserve", schedule="30 4 * * *")
    two = workflows(project(places=(place("dev", "deployment"), staging)))["watch.yml"]
    assert two["on"]["schedule"] == [{"cron": "0 */6 * * *"}, {"cron": "30 4 * * *"}]
    for name, cron in (("dev", "0 */6 * * *"), ("staging", "30 4 * * *")):
        job = two["jobs"][f"watch-{name}"]
        by_hand = "github.event_name == 'workflow_dispatch'"
        assert job["if"] == f"${{{{ {by_hand} || github.event.schedule == '{cron}' }}}}"
        assert job["concurrency"] == {"group": f"watch-{name}", "cancel-in-progress": False}


def test_a_release_commit_starts_no_release() -> None:
    push = workflows(project())["release.yml"]["on"]["push"]
    assert not any(path.startswith("environments") for path in push["paths"])
    assert "[skip ci]" in pipeline.PROMOTE


def test_the_policy_lint_finds_nothing() -> None:
    of = project()
    sources = [
        read_text(path, "workflow", dump(content))
        for path, content in github.files(of).items() if isinstance(content, Objects)
    ]  # fmt: skip
    assert [str(finding) for finding in lint(sources)] == []


def test_no_pipelines_without_a_provider_or_a_cluster() -> None:
    for of in (project(ci=""), project(places=())):
        assert github.files(of) == checks.files(of) == {}
        assert needs(of) == ()
    assert github.files(project(ci="gitlab")) == {}


def test_what_scripts_install_is_what_is_rendered() -> None:
    rendered = {**images.files(project()), **checks.files(project())}
    named = set(re.findall(r"-r (\S+\.lock)", "".join(str(step.get("run")) for step in every_step(project()))))
    assert named <= set(rendered)
    assert all(image.file in rendered for image in pipeline.IMAGES)
