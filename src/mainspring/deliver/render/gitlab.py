"""`.gitlab-ci.yml`: the jobs of the GitHub workflows in one pipeline.

Every job runs in an image that is named by digest. Secrets are protected, masked variables of an environment or the
project; the identity that signs images is asked for by the one job that signs. What people must approve waits for
them: a manual job of a protected environment. GitLab documentation, "CI/CD YAML syntax reference".
"""

from collections.abc import Mapping
from typing import Any

from mainspring.deliver.render import pipeline
from mainspring.deliver.render.content import Files, one
from mainspring.deliver.render.pins import COSIGN, DOCKER, HELM, PYTHON
from mainspring.deliver.render.subject import Place, Subject, logged_to

FILE = ".gitlab-ci.yml"
_SOURCES = ["mainspring.yaml", "src/**/*", "ci/**/*", "ml-api/**/*"]
_MERGE = '$CI_PIPELINE_SOURCE == "merge_request_event"'
_ORIGIN = 'git remote set-url origin "$CI_PROJECT_URL.git"\n'
_PUSHING = {"PUSH_USER": "release", "PUSH_TOKEN": "$RELEASE_TOKEN"}
_HELM = f"""\
helm() {{
  docker run --rm --network none --volume "$PWD:/tree:ro" --workdir /tree {HELM} "$@"
}}
"""
_BUILD = "docker build --pull --build-arg COMMIT=$CI_COMMIT_SHA --file {file} --tag mainspring-{kind}:scan .\n"
_PUSH = """\
docker tag "mainspring-$KIND:scan" "$REGISTRY:$KIND-$CI_COMMIT_SHA"
docker push --quiet "$REGISTRY:$KIND-$CI_COMMIT_SHA"
IMAGE=$(docker image inspect --format '{{index .RepoDigests 0}}' "$REGISTRY:$KIND-$CI_COMMIT_SHA")
cosign sign --yes "$IMAGE"
cosign attest --yes --type cyclonedx --predicate "evidence/$KIND.cdx.json" "$IMAGE"
"""
_PROPOSED = f"""\
if [ -n "${{CI_MERGE_REQUEST_TARGET_BRANCH_NAME:-}}" ]; then
  BASE=$CI_MERGE_REQUEST_TARGET_BRANCH_NAME
  git fetch --quiet --unshallow origin || true
  {pipeline.PROPOSED.rstrip().replace(chr(10), chr(10) + "  ")}
fi
"""
_COSIGN = f"""\
holder=$(docker create {COSIGN})
docker cp "$holder:/ko-app/cosign" /usr/local/bin/cosign
docker rm "$holder"
"""
_LOGIN = 'printf "%s" "${password}" | docker login --username "${user}" --password-stdin {host}\n'


def files(subject: Subject) -> Files:
    """Return the pipeline of a project that GitLab runs; nothing for another provider."""
    if subject.ci != "gitlab" or not subject.places:
        return {}
    return {FILE: one(_pipeline(subject))}


def _pipeline(subject: Subject) -> dict[str, Any]:
    branch = f'$CI_COMMIT_BRANCH == "{subject.branch}"'
    watched = pipeline.watched(subject)
    return {
        "workflow": {"rules": [{"if": _MERGE}, {"if": branch}]},
        "stages": ["check", "train", "build", "promote", *(["watch"] if watched else [])],
        "default": {"image": PYTHON, "timeout": "30 minutes"},
        "lint": _checking(pipeline.INSTALL_CHECKS, pipeline.LINT),
        "test": _checking(
            pipeline.INSTALL_ALL, _PROPOSED, pipeline.DATA, pipeline.TEST, pipeline.CHECK, pipeline.RENDER_CHECK
        ),
        "train": _train(subject, branch),
        "audit": {**_releasing("build", branch), "script": [pipeline.INSTALL_CHECKS, pipeline.AUDIT]},
        "images": _images(subject, branch),
        **{f"promote-{place.name}": _promote(subject, at, branch) for at, place in enumerate(subject.places)},
        **{f"watch-{place.name}": _watch(place) for place in watched},
    }  # fmt: skip


def _checking(*scripts: str) -> dict[str, Any]:
    return {
        "stage": "check", "interruptible": True, "rules": [{"if": '$CI_PIPELINE_SOURCE != "schedule"'}],
        "script": list(scripts),
    }  # fmt: skip


def _releasing(stage: str, branch: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a job's own keys
    """Return the head of a job that runs when something that is released changed on the branch, or when asked for."""
    asked = f'{branch} && $CI_PIPELINE_SOURCE == "web"'
    pushed = f'{branch} && $CI_PIPELINE_SOURCE == "push"'
    return {"stage": stage, "rules": [{"if": asked, **more}, {"if": pushed, "changes": _SOURCES, **more}]}


def _train(subject: Subject, branch: str) -> dict[str, Any]:
    place = subject.places[0]
    tell = f'.venv/bin/python -c "{pipeline.TRAINED}" > train.env\n'
    return {
        **_releasing("train", branch), "timeout": "3 hours", "resource_group": "release",
        "environment": {"name": pipeline.unattended(place), "action": "access"},
        "variables": {"ENVIRONMENT": place.name, "RUN": "$CI_PIPELINE_ID"},
        "script": [pipeline.INSTALL, pipeline.DATA, pipeline.BEGIN, pipeline.TRAIN, pipeline.REGISTER, tell],
        "artifacts": {"reports": {"dotenv": "train.env"}, "paths": ["train.json"], "expire_in": "90 days"},
    }  # fmt: skip


def _images(subject: Subject, branch: str) -> dict[str, Any]:
    names = " ".join(place.name for place in subject.places)
    script = [_HELM + pipeline.SCORE]
    for image in pipeline.IMAGES:
        script.append(_BUILD.format(file=image.file, kind=image.kind))
        script.append(f"KIND={image.kind}\n{pipeline.SCAN}")
    script += [_login(subject), _COSIGN]
    for image in pipeline.IMAGES:
        tell = f'echo "{image.kind.upper()}=$IMAGE" >> images.env\n'
        script.append(f"KIND={image.kind}\n{_PUSH}{tell}")
    return {
        **_releasing("build", branch), "image": DOCKER, "services": [{"name": DOCKER, "alias": "docker"}],
        "timeout": "1 hour", "needs": ["train", "audit"],
        "variables": {
            "DOCKER_HOST": "tcp://docker:2376", "DOCKER_TLS_CERTDIR": "/certs", "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": "/certs/client", "PROJECT": subject.name, "MODEL": subject.model, "ENVIRONMENTS": names,
            "REGISTRY": subject.registry,
        },
        "id_tokens": {"SIGSTORE_ID_TOKEN": {"aud": "sigstore"}},
        "script": script,
        "artifacts": {"reports": {"dotenv": "images.env"}, "paths": ["evidence/"], "expire_in": "90 days"},
    }  # fmt: skip


def _login(subject: Subject) -> str:
    user, password, host = {
        "token": ("CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD", '"$CI_REGISTRY"'),
        "dockerhub": ("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN", "docker.io"),
        "registry": ("REGISTRY_USERNAME", "REGISTRY_TOKEN", pipeline.host(subject.registry)),
    }[pipeline.login(subject)]
    return _LOGIN.format(user=user, password=password, host=host)


def _promote(subject: Subject, at: int, branch: str) -> dict[str, Any]:
    """Return the job that enters one environment: later ones wait for somebody who asks, whenever that is."""
    place = subject.places[at]
    manual: Mapping[str, Any] = {"when": "manual"} if at or place.approvals else {}
    asked = {"BEFORE": subject.places[at - 1].name} if at else {}
    needs = [f"promote-{subject.places[at - 1].name}"] if at else ["train", "images"]
    return {
        **_releasing("promote", branch, **manual), "needs": needs,
        "environment": {"name": place.name}, "resource_group": f"promote-{place.name}",
        "variables": {
            "GIT_DEPTH": "0", "ENVIRONMENT": place.name, "HOW": pipeline.how(subject, place), **asked,
            "BRANCH": subject.branch, "RUN": "$CI_PIPELINE_ID",
            **_PUSHING,
        },
        "script": [
            pipeline.INSTALL,
            _ORIGIN + (pipeline.PROMOTE_ONWARDS if at else pipeline.PROMOTE),
        ],
    }  # fmt: skip


def _watch(place: Place) -> dict[str, Any]:
    return {
        "stage": "watch",
        "rules": [{"if": f'$CI_PIPELINE_SOURCE == "schedule" && $WATCH == "{place.schedule}"'}],
        "environment": {"name": pipeline.unattended(place), "action": "access"},
        "resource_group": "watch", "timeout": "1 hour",
        "variables": {"GIT_DEPTH": "0", "ENVIRONMENT": place.name, "LOG": logged_to(place), **_PUSHING},
        "script": [pipeline.INSTALL, _ORIGIN + pipeline.WATCH],
    }  # fmt: skip
