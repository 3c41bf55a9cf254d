"""One step as a pod of Argo Workflows: the command that the local runner's process gets too, and what it may touch.

Exit codes are those of every mainspring command: 0 done; 1 failed and 2 the user's mistake are not tried again; 3 a
gate refused, an outcome; 75 try again, with growing pauses; a pod that was lost is tried again too, for a step may be
repeated. Everything a pod needs stands in its own template, so that another workflow may call it by `templateRef`.
Argo Workflows: "Retries", "Field reference"; a template without a command would ask a registry for the image's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.deliver.render.access import account
from mainspring.deliver.render.kubernetes import (
    container_security,
    identified,
    kind,
    metadata,
    placed,
    pod_security,
    selector,
)
from mainspring.deliver.render.needs import online_names, store_names
from mainspring.deliver.render.subject import Place, Subject
from mainspring.kernel.needs import StepNeeds

FOLDER, STATE = "/srv/project", "/srv/project/.mainspring"
RELEASE, TRUST, KEYS = "/etc/mainspring/release.yaml", "/var/run/mainspring/trust", "/var/run/mainspring/signing"
OUTCOME = "/tmp/outcome.json"  # noqa: S108 - a pod's own folder
RUN = "{{inputs.parameters.run}}"
FEW = StepNeeds(cpu_m=500, memory_mi=1024, seconds=900)
"""What a step needs that fits nothing and reads no table."""
AGAIN = "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 75"
# a model's digest may not depend on the number of cores: the local runner's steps see the same three
_STEADY = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
_OWN_S3 = ("AWS_ENDPOINT", "AWS_ALLOW_HTTP")  # an S3 that is not Amazon's
_ABSENT = {"asked": "no", "begun": "no"}  # what a condition reads may not be empty
_GIT, _ASKS, _ASKPASS = "/var/run/mainspring/git", "askpass", "/var/run/mainspring/askpass"
_GPU = "nvidia.com/gpu"
_SECRET = "secret://"  # noqa: S105 - how a reference begins
Doc = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What one pod does. name: of the template. words: the command's arguments. needs: of a machine.

    job: whose service account it has, `steps` or `watch`. ledger, key: whether it opens the ledger, and signs.
    release: whether it reads the release file. git: whether it commits releases. inputs: parameters with their
    defaults; None for one that must be given.
    volumes: more of them, each with where it is mounted. outputs: parameter -> file.
    """

    name: str
    words: Sequence[str]
    needs: StepNeeds
    job: str = "steps"
    ledger: bool = False
    key: bool = False
    release: bool = False
    git: bool = False
    inputs: Mapping[str, str | None]
    volumes: Sequence[tuple[Doc, str]] = ()
    outputs: Mapping[str, str]


def template(subject: Subject, place: Place, pod: Pod) -> Doc:
    """Return the workflow template of a pod."""
    found: Doc = {
        "name": pod.name,
        "inputs": {"parameters": [_parameter(name, value) for name, value in pod.inputs.items()]},
        "outputs": {"parameters": [
            {"name": name, "valueFrom": {"path": path, "default": _ABSENT.get(name, "")}}
            for name, path in pod.outputs.items()
        ]},
        "metadata": {"labels": {**selector(subject, pod.job), **identified(place)}},
        "serviceAccountName": account(subject, pod.job),
        "automountServiceAccountToken": True,  # Argo's executor reports the result by it; it may do nothing else
        "securityContext": pod_security(),
        "activeDeadlineSeconds": pod.needs.seconds,
        "retryStrategy": {
            "limit": 5, "retryPolicy": "Always", "expression": AGAIN,
            "backoff": {"duration": "30s", "factor": 2, "cap": "10m"},
        },
        "volumes": [volume for volume, _ in _volumes(subject, pod)],
        "container": container(subject, place, pod),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value not in ({"parameters": []},)} | _nodes(place, pod)


def _nodes(place: Place, pod: Pod) -> Doc:
    """Return which nodes a pod runs on; by whose credentials it pulls its image, its service account says."""
    found = {name: value for name, value in placed(place, "steps").items() if name != "imagePullSecrets"}
    if pod.needs.gpu:
        found["nodeSelector"] = {f"{_GPU}.present": "true"} | found.get("nodeSelector", {})
        taint = {"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}
        found["tolerations"] = [taint, *found.get("tolerations", [])]
    return found


def container(subject: Subject, place: Place, pod: Pod) -> Doc:
    """Return the container of a pod: one process, no shell, no secret among its arguments."""
    return {
        "name": "main", "image": steps_image(subject, place), "command": ["mainspring"],
        "args": [*pod.words, *(("--keys", KEYS) if pod.key else ())],
        "workingDir": FOLDER, "env": _environment(subject, place, pod), "resources": _resources(pod.needs),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": volume["name"], "mountPath": path, **_read_only(volume)} for volume, path in _volumes(subject, pod)
        ],
    }  # fmt: skip


def steps_image(subject: Subject, place: Place) -> str:
    """Return the image of an environment's steps; before the first build, one that no registry has."""
    return place.steps_image or f"{subject.registry or subject.name}@sha256:{'0' * 64}"


def cloned(subject: Subject) -> list[str]:
    """Return the words that let a process work in a clone and push to it; none where no repository is known."""
    return ["--repository", subject.repository, "--branch", subject.branch] if subject.repository else []


def askpass(subject: Subject, place: Place) -> Doc:
    """Return what answers git's questions from the Secret `<project>-git`: keys `username` and `token`."""
    script = f'#!/bin/sh\ncase "$1" in\n  Username*) cat {_GIT}/username ;;\n  *) cat {_GIT}/token ;;\nesac\n'
    return kind("v1", "ConfigMap", metadata(subject, place, f"{subject.name}-git", "steps"), data={_ASKS: script})


def empty(name: str, most: str) -> Doc:
    """Return a folder of a pod that goes with it. most: its size limit."""
    return {"name": name, "emptyDir": {"sizeLimit": most}}


def _parameter(name: str, value: str | None) -> Doc:
    return {"name": name} if value is None else {"name": name, "value": value}


def _environment(subject: Subject, place: Place, pod: Pod) -> list[Doc]:
    """Return what the process sees: numbers that keep it steady, and the credentials of the stores that it opens."""
    found: list[Doc] = [{"name": name, "value": value} for name, value in _STEADY.items()]
    hidden = {f"{kind.upper()}_URL" for kind, address in place.stores.items() if address.startswith(_SECRET)}
    if pod.git and subject.repository:
        found.append({"name": "GIT_ASKPASS", "value": f"{_ASKPASS}/{_ASKS}"})
    names = store_names(place)
    for name in (*names, *(_OWN_S3 if "AWS_REGION" in names else ())):
        is_ledger = name not in hidden - {"LEDGER_URL"} and not name.startswith(("AWS_", "GOOGLE_", "AZURE_"))
        if is_ledger and not pod.ledger:
            continue
        source = {"name": f"{subject.name}-stores", "key": name}
        found.append(
            {"name": name, "valueFrom": {"secretKeyRef": source if is_ledger else {**source, "optional": True}}}
        )
    if pod.job == "watch":
        found += [
            {"name": name, "valueFrom": {"secretKeyRef": {
                "name": f"{subject.name}-stores", "key": name, "optional": True,
            }}}
            for name in online_names(place)
        ]  # fmt: skip
    return found


def _volumes(subject: Subject, pod: Pod) -> list[tuple[Doc, str]]:
    taken = {path for _, path in pod.volumes}
    found = [(empty("tmp", "1Gi"), "/tmp")]  # noqa: S108
    if STATE not in taken:
        found.append((empty("state", f"{max(4, pod.needs.memory_mi // 256)}Gi"), STATE))
    found.append(({"name": "trust", "configMap": {"name": f"{subject.name}-trust", "optional": True}}, TRUST))
    if pod.release:
        release = {"name": f"{subject.name}-release", "optional": True}
        found.append(({"name": "release", "configMap": release}, RELEASE.rpartition("/")[0]))
    if pod.git and subject.repository:
        asks = {"name": f"{subject.name}-git", "defaultMode": 0o555}
        found.append(({"name": "askpass", "configMap": asks}, _ASKPASS))
        found.append(({"name": "git", "secret": {"secretName": f"{subject.name}-git", "defaultMode": 0o440}}, _GIT))
    found += pod.volumes
    if pod.key:
        signing = {"secretName": f"{subject.name}-signing", "defaultMode": 0o440}
        found.append(({"name": "signing", "secret": signing}, KEYS))
    return found


def _read_only(volume: Doc) -> Doc:
    claim = volume.get("persistentVolumeClaim", {})
    return {"readOnly": True} if "configMap" in volume or "secret" in volume or claim.get("readOnly") else {}


def _resources(needs: StepNeeds) -> Doc:
    """Return requests and limits alike: what a step is measured with is what it gets."""
    asked = {"cpu": f"{needs.cpu_m}m", "memory": f"{needs.memory_mi}Mi"}
    return {"requests": asked, "limits": {**asked, **({_GPU: str(needs.gpu)} if needs.gpu else {})}}
