"""`.github/workflows/`: `ci.yml` judges, `release.yml` releases, `promote.yml` goes on, `watch.yml` watches.

No job may do anything that it does not use: the top level grants nothing, a job reads the contents, one pushes images
and asks for the identity that signs them, those that release write the contents. Secrets reach single steps: where user
code trains there is neither the signing key nor the ledger. Actions are pinned by commit; what a stranger can choose
never becomes part of a script. GitHub, "Security hardening".
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from mainspring.deliver.render import pipeline
from mainspring.deliver.render.content import Files, one
from mainspring.deliver.render.needs import OPEN, ledger_name, store_names
from mainspring.deliver.render.pins import action
from mainspring.deliver.render.subject import Place, Subject, logged_to

FOLDER = ".github/workflows"
_RUNNER = "ubuntu-24.04"
_PYTHON = "3.11"
_READ = {"contents": "read"}
_SHELL = {"run": {"shell": "bash"}}
_RUN = "${{ github.run_id }}"
_KEY = {"MAINSPRING_SIGNING_KEY": "${{ secrets.MAINSPRING_SIGNING_KEY }}"}
_PUSH = {"PUSH_USER": "x-access-token", "PUSH_TOKEN": "${{ steps.app.outputs.token || github.token }}"}
_DATA = {"DATA_CREDENTIALS": "${{ secrets.DATA_CREDENTIALS }}"}
_SOURCES = ["mainspring.yaml", "src/**", "ci/**", "ml-api/**"]
Step = dict[str, Any]


def files(subject: Subject) -> Files:
    """Return the workflows of a project whose pipelines run on GitHub; nothing for another provider."""
    if subject.ci != "github" or not subject.places:
        return {}
    made = {"ci.yml": _ci(subject), "release.yml": _release(subject)}
    if len(subject.places) > 1:
        made["promote.yml"] = _onwards(subject)
    if pipeline.watched(subject):
        made["watch.yml"] = _watch(subject)
    return {f"{FOLDER}/{name}": one(document) for name, document in made.items()}


def _ci(subject: Subject) -> dict[str, Any]:
    proposed = {
        **_run("Judge release commits that are proposed", pipeline.PROPOSED, {"BASE": "${{ github.base_ref }}"}),
        "if": "${{ github.event_name == 'pull_request' }}",
    }  # fmt: skip
    return {
        "name": "ci",
        "on": {"pull_request": {}, "push": {"branches": [subject.branch]}},
        "permissions": {},
        "concurrency": {"group": "ci-${{ github.ref }}", "cancel-in-progress": True},
        "defaults": _SHELL,
        "jobs": {
            "lint": _job("Lint", 10, [
                *_checked_out(), _run("Install the linter", pipeline.INSTALL_CHECKS), _run("Lint", pipeline.LINT),
            ]),
            "test": _job("Test and check", 30, [
                *_checked_out(history=True), _run("Install", pipeline.INSTALL_ALL), proposed,
                _run("Bring the data", pipeline.DATA, _DATA),
                _run("Test", pipeline.TEST), _run("Check the project and its policy", pipeline.CHECK),
                _run("Check that rendered files are current", pipeline.RENDER_CHECK),
            ]),
        },
    }  # fmt: skip


def _release(subject: Subject) -> dict[str, Any]:
    first = subject.places[0]
    jobs = {
        "train": _train(subject, first), "audit": _audit(), "images": _images(subject),
        f"promote-{first.name}": _promote(subject, first, None),
    }  # fmt: skip
    return {
        "name": "release",
        "on": {"push": {"branches": [subject.branch], "paths": _SOURCES}, "workflow_dispatch": {}},
        "permissions": {},
        "concurrency": {"group": "release", "cancel-in-progress": False},
        "defaults": _SHELL,
        "jobs": jobs,
    }


def _train(subject: Subject, place: Place) -> dict[str, Any]:
    named, stores = {"ENVIRONMENT": place.name, "RUN": _RUN}, _stores(place)
    files = {name: value for name, value in stores.items() if name != ledger_name(place)}
    steps = [
        *_checked_out(), _run("Install", pipeline.INSTALL), _run("Bring the data", pipeline.DATA, _DATA),
        _run("Begin", pipeline.BEGIN, {**named, **stores}), _run("Train", pipeline.TRAIN, {**named, **files}),
        _run("Judge, sign and register", pipeline.REGISTER, {**named, **stores, **_KEY}),
        {**_run("Tell the digest", f'.venv/bin/python -c "{pipeline.TRAINED}" >> "$GITHUB_OUTPUT"\n'), "id": "told"},
        _kept("candidate", "train.json"),
    ]  # fmt: skip
    return _job(
        "Train and gate",
        180,
        steps,
        environment=pipeline.unattended(place),
        outputs={"digest": "${{ steps.told.outputs.DIGEST }}"},
    )


def _audit() -> dict[str, Any]:
    steps = [
        *_checked_out(), _run("Install", pipeline.INSTALL_CHECKS), _run("Audit what images install", pipeline.AUDIT),
    ]  # fmt: skip
    return _job("Audit dependencies", 15, steps)


def _images(subject: Subject) -> dict[str, Any]:
    steps = [*_checked_out(python=False), _use("docker/setup-buildx-action", "Set up the builder")]
    steps.append(_run("Score the manifests", pipeline.SCORE, {
        "PROJECT": subject.name, "MODEL": subject.model, "KUBE_SCORE_IMAGE": "${{ vars.KUBE_SCORE_IMAGE }}",
        "ENVIRONMENTS": " ".join(place.name for place in subject.places),
    }))  # fmt: skip
    for image in pipeline.IMAGES:
        local = f"mainspring-{image.kind}:scan"
        steps.append(_build(image, {"load": True, "push": False, "tags": local}, f"Build {image.kind}"))
        steps.append(_run(f"Scan {image.kind}, and list what is inside", pipeline.SCAN, {"KIND": image.kind}))
    steps += [_login(subject), _use("sigstore/cosign-installer", "Install cosign")]
    for image in pipeline.IMAGES:
        pushed = {"push": True, "provenance": "mode=max", "sbom": True,
                  "tags": f"{subject.registry}:{image.kind}-${{{{ github.sha }}}}"}  # fmt: skip
        steps.append({**_build(image, pushed, f"Push {image.kind}"), "id": image.kind})
        steps.append(_run(f"Sign {image.kind}", _SIGN, {
            "IMAGE": f"{subject.registry}@${{{{ steps.{image.kind}.outputs.digest }}}}", "KIND": image.kind,
        }))  # fmt: skip
    steps.append(_kept("evidence", "evidence/"))
    outputs = {
        image.kind: f"{subject.registry}@${{{{ steps.{image.kind}.outputs.digest }}}}" for image in pipeline.IMAGES
    }
    job = _job("Build, scan, sign and push", 60, steps, needs=["train", "audit"], outputs=outputs)
    rights = {**_READ, "id-token": "write"}
    if pipeline.login(subject) == "token":
        rights["packages"] = "write"
    return {**job, "permissions": rights}


_SIGN = """\
cosign sign --yes "$IMAGE"
cosign attest --yes --type cyclonedx --predicate "evidence/$KIND.cdx.json" "$IMAGE"
"""


def _onwards(subject: Subject) -> dict[str, Any]:
    """Return the workflow by which somebody brings what answers in one environment into the next."""
    later = [place.name for place in subject.places[1:]]
    choice = {"description": "Environment to enter", "type": "choice", "options": later, "required": True}
    return {
        "name": "promote",
        "on": {"workflow_dispatch": {"inputs": {"environment": choice}}},
        "permissions": {},
        "concurrency": {"group": "promote", "cancel-in-progress": False},
        "defaults": _SHELL,
        "jobs": {
            f"promote-{place.name}": _promote(subject, place, before)
            for before, place in pairwise(subject.places)
        },
    }  # fmt: skip


def _promote(subject: Subject, place: Place, before: Place | None) -> dict[str, Any]:
    """Return the job that enters one environment: the first with what was just made, later ones with what is before."""
    made = {
        "DIGEST": "${{ needs.train.outputs.digest }}", "SERVING": "${{ needs.images.outputs.serving }}",
        "STEPS": "${{ needs.images.outputs.steps }}",
    }  # fmt: skip
    values = {
        "ENVIRONMENT": place.name, "HOW": pipeline.how(subject, place), "BRANCH": subject.branch, "RUN": _RUN,
        **({"BEFORE": before.name} if before else made),
        **_PUSH, **_stores(place),
    }  # fmt: skip
    fetched = [_use("actions/download-artifact", "Fetch the evidence", {"name": "evidence", "path": "evidence"})]
    script = pipeline.PROMOTE_ONWARDS if before else pipeline.PROMOTE
    steps = [
        *_checked_out(history=True), _run("Install", pipeline.INSTALL), *([] if before else fetched), _app(),
        _run("Promote", script, {**values, **_KEY}),
    ]  # fmt: skip
    when = {"if": f"${{{{ inputs.environment == '{place.name}' }}}}"} if before else {"needs": ["train", "images"]}
    group = {"group": f"promote-{place.name}", "cancel-in-progress": False}
    job = _job(f"Promote into {place.name}", 30, steps, **when, environment=place.name, concurrency=group)
    return {**job, "permissions": {"contents": "write"}}


def _app() -> Step:
    """Return the step that asks for a token of the release app, where there is one."""
    options = {
        "client-id": "${{ vars.RELEASE_APP_CLIENT_ID }}", "private-key": "${{ secrets.RELEASE_APP_PRIVATE_KEY }}",
        "permission-contents": "write",
    }  # fmt: skip
    step = _use("actions/create-github-app-token", "Ask the release app for a token", options)
    return {**step, "id": "app", "if": "${{ vars.RELEASE_APP_CLIENT_ID != '' }}"}


def _watch(subject: Subject) -> dict[str, Any]:
    places = pipeline.watched(subject)
    crons = sorted({place.schedule for place in places})
    jobs = {}
    for place in places:
        values = {"ENVIRONMENT": place.name, "LOG": logged_to(place), **_PUSH, **_stores(place)}
        job = _job(f"Watch {place.name}", 60, [
            *_checked_out(history=True), _run("Install", pipeline.INSTALL), _app(),
            _run("Watch once", pipeline.WATCH, {**values, **_KEY}),
        ], environment=pipeline.unattended(place), **_scheduled(place, among=len(crons)))  # fmt: skip
        jobs[f"watch-{place.name}"] = {**job, "permissions": {"contents": "write"}}
    return {
        "name": "watch",
        "on": {"schedule": [{"cron": cron} for cron in crons], "workflow_dispatch": {}},
        "permissions": {},
        "defaults": _SHELL,
        "jobs": jobs,
    }


def _scheduled(place: Place, *, among: int) -> dict[str, Any]:
    """Return which of several schedules starts a watch, and that it waits for its own last look, not for others'."""
    group = {"concurrency": {"group": f"watch-{place.name}", "cancel-in-progress": False}}
    mine = f"github.event_name == 'workflow_dispatch' || github.event.schedule == '{place.schedule}'"
    return {**({"if": f"${{{{ {mine} }}}}"} if among > 1 else {}), **group}


def _job(name: str, minutes: int, steps: Sequence[Step], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a job's own keys
    return {
        "name": name, **more, "runs-on": _RUNNER, "timeout-minutes": minutes, "permissions": _READ,
        "steps": list(steps),
    }  # fmt: skip


def _checked_out(*, python: bool = True, history: bool = False) -> list[Step]:
    """Return the steps that every job starts with; the token is not kept in the checkout."""
    options: dict[str, Any] = {"persist-credentials": False, **({"fetch-depth": 0} if history else {})}
    steps = [_use("actions/checkout", "Check out", options)]
    if python:
        steps.append(_use("actions/setup-python", "Set up Python", {"python-version": _PYTHON}))
    return steps


def _use(name: str, title: str, options: Mapping[str, Any] | None = None) -> Step:
    return {"name": title, "uses": action(name), **({"with": dict(options)} if options else {})}


def _run(title: str, script: str, values: Mapping[str, str] | None = None) -> Step:
    return {"name": title, **({"env": dict(values)} if values else {}), "run": script}


def _kept(name: str, path: str) -> Step:
    return _use("actions/upload-artifact", f"Keep the {name}", {
        "name": name, "path": path, "if-no-files-found": "error", "retention-days": 90,
    })  # fmt: skip


def _build(image: pipeline.Image, options: Mapping[str, Any], title: str) -> Step:
    commit = {"build-args": "COMMIT=${{ github.sha }}"} if image.kind == pipeline.STEPS else {}
    return _use("docker/build-push-action", title, {"context": ".", "file": image.file, **commit, **options})


def _login(subject: Subject) -> Step:
    user, password = {
        "token": ("${{ github.actor }}", "${{ github.token }}"),
        "dockerhub": ("${{ secrets.DOCKERHUB_USERNAME }}", "${{ secrets.DOCKERHUB_TOKEN }}"),
        "registry": ("${{ secrets.REGISTRY_USERNAME }}", "${{ secrets.REGISTRY_TOKEN }}"),
    }[pipeline.login(subject)]
    options = {"registry": pipeline.host(subject.registry), "username": user, "password": password}
    return _use("docker/login-action", "Log in to the registry", options)


def _stores(place: Place) -> dict[str, str]:
    """Return the variables by which an environment's stores are reached."""
    return {name: f"${{{{ {'vars' if name in OPEN else 'secrets'}.{name} }}}}" for name in store_names(place)}
