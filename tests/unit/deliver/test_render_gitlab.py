"""The GitLab pipeline: the jobs of the GitHub workflows, images by digest, approvals by hand, one job that signs."""

import re
from typing import Any

from tests.unit.deliver.test_render_github import STORES, project, workflows

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.deliver.render import gitlab
from mainspring.deliver.render.content import Objects
from mainspring.deliver.render.needs import needs
from mainspring.deliver.render.subject import Subject
from mainspring.security.lint import lint

WORDS = {"workflow", "stages", "default"}


def of(**more: object) -> Subject:
    return project(ci="gitlab", registry="registry.gitlab.example/ops/flight-delay", **more)


def pipeline(subject: Subject) -> dict[str, Any]:
    content = gitlab.files(subject)[".gitlab-ci.yml"]
    assert isinstance(content, Objects)
    return dict(content.documents[0])


def jobs(subject: Subject) -> dict[str, Any]:
    return {name: job for name, job in pipeline(subject).items() if name not in WORDS}


def script(job: dict[str, Any]) -> str:
    return "".join(job["script"])


def test_it_has_the_jobs_of_the_workflows() -> None:
    others = {name for flow in workflows(project()).values() for name in flow["jobs"]}
    assert set(jobs(of())) == others


def test_every_image_is_named_by_digest() -> None:
    text = dump(Objects([pipeline(of())]))
    images = re.findall(r"(?:image|- name): (\S+)", text)
    assert images
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images)


def test_only_the_job_that_signs_asks_for_an_identity() -> None:
    assert [name for name, job in jobs(of()).items() if "id_tokens" in job] == ["images"]
    assert "cosign sign --yes" in script(jobs(of())["images"])


def test_a_release_enters_the_first_environment_and_somebody_asks_for_the_rest() -> None:
    found = jobs(of())
    assert {rule.get("when") for rule in found["promote-dev"]["rules"]} == {None}
    for name, before in (("production", "staging"), ("staging", "dev")):
        job = found[f"promote-{name}"]
        assert {rule.get("when") for rule in job["rules"]} == {"manual"}
        assert job["needs"] == [f"promote-{before}"]
        assert job["variables"]["BEFORE"] == before
    assert found["train"]["environment"]["action"] == "access"


def test_what_is_asked_for_is_read_by_the_jobs_that_are_named() -> None:
    for login in ("token", "dockerhub"):
        subject = of(login=login)
        found = jobs(subject)
        stores = {name for place in subject.places for name in (*STORES, place.name)}
        assert stores
        for need in needs(subject):
            for job in need.used:
                text = dump(Objects([found[job]]))
                stored = re.match(r"(LEDGER_URL|STAGING_LEDGER|AWS_|GOOGLE_)", need.name)
                if need.kind == "schedule" or need.name == "DATA_CREDENTIALS" or stored:
                    assert "mainspring" in text or "ci/data.sh" in text  # the program reads them by itself
                else:
                    assert re.search(rf"\b{need.name}\b", text), (need.name, job)


def test_a_schedule_is_asked_for_where_something_is_watched() -> None:
    schedule = next(need for need in needs(of()) if need.kind == "schedule")
    assert schedule.used == ("watch-dev", "watch-staging")
    assert "0 */6 * * *" in schedule.make
    assert "schedule" not in {need.kind for need in needs(project())}


def test_the_policy_lint_finds_nothing() -> None:
    source = read_text(".gitlab-ci.yml", "workflow", dump(Objects([pipeline(of())])))
    assert [str(finding) for finding in lint([source])] == []


def test_another_provider_has_no_such_file() -> None:
    assert gitlab.files(project()) == gitlab.files(of(places=())) == {}
