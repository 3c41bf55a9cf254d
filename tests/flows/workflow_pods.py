"""Run a rendered WorkflowTemplate without Argo: what runs, where, and what follows is read from its YAML alone.

Known of Argo: DAGs in their order, `depends` of `X.Succeeded` and `X.Failed`, parameters, retries by the template's
expression (without the pauses), emptyDir, ConfigMap, Secret and claim volumes, outputs from files. Each pod is a
container of the template's image, with the uid, the read-only root and the capabilities that the template gives it.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import tools

_PLACE = re.compile(r"\{\{([^}]+)\}\}")
Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """One try of a pod. code: exit status. outcome: what it wrote of itself."""

    task: str
    code: int
    outcome: Doc
    said: str


@dataclass
class Cluster:
    """What a namespace holds. secrets, maps: name -> key -> value. claims: name -> folder. folder: for the pods.

    sockets: folders with sockets of servers that a cluster's network would reach.
    """

    folder: Path
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    claims: Mapping[str, Path] = field(default_factory=dict)
    sockets: Sequence[Path] = ()
    tries: list[Ran] = field(default_factory=list)

    def submit(self, template: Doc, name: str, **given: str) -> str:
        """Run the template's entrypoint and its exit handler; return the workflow's phase."""
        spec = template["spec"]
        templates = {one["name"]: one for one in spec["templates"]}
        values = {item["name"]: item["value"] for item in spec["arguments"]["parameters"]} | given
        words = {"workflow.name": name, "workflow.creationTimestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        phase = self._dag(templates, templates[spec["entrypoint"]], values, words)
        self._pod(templates[spec["onExit"]], {}, {**words, "workflow.status": phase})
        return phase

    def codes(self) -> list[tuple[str, int]]:
        """Return (task, exit status) of every try."""
        return [(ran.task, ran.code) for ran in self.tries]

    def outcome(self, task: str) -> Doc:
        """Return what a task wrote of itself at its last try."""
        return [ran.outcome for ran in self.tries if ran.task == task][-1]

    def _dag(self, templates: Mapping[str, Doc], dag: Doc, inputs: Mapping[str, str], words: Mapping[str, str]) -> str:
        """Run tasks in order; the last one's phase, or that of the task before an omitted one, is the whole's."""
        here = {**words, **{f"inputs.parameters.{name}": value for name, value in inputs.items()}}
        phases: dict[str, str] = {}
        last = ""
        for task in dag["dag"]["tasks"]:
            wanted = [part.strip() for part in task.get("depends", "").split("||") if part]
            if wanted and not any(phases.get(part.partition(".")[0]) == part.partition(".")[2] for part in wanted):
                continue
            given = {item["name"]: _filled(item["value"], here) for item in task["arguments"]["parameters"]}
            phases[task["name"]] = last = self._pod(templates[task["template"]], given, words)
        return last

    def _pod(self, template: Doc, given: Mapping[str, str], words: Mapping[str, str]) -> str:
        declared = template.get("inputs", {}).get("parameters", [])
        assert given.keys() <= {item["name"] for item in declared}
        inputs = {item["name"]: given.get(item["name"], item.get("value")) for item in declared}
        assert None not in inputs.values()
        here = {**words, **{f"inputs.parameters.{name}": value for name, value in inputs.items()}}
        again = template["retryStrategy"]
        for _ in range(int(again["limit"]) + 1):
            code = self._try(template, here)
            if code == 0 or not _retried(again["expression"], code):
                break
        return "Succeeded" if code == 0 else "Failed"

    def _try(self, template: Doc, here: Mapping[str, str]) -> int:
        """Run one container as the template says."""
        home = self.folder / f"pod-{len(self.tries)}"
        folders = {volume["name"]: self._volume(volume, home) for volume in template["volumes"]}
        container, security = template["container"], template["securityContext"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        argv = [
            "run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt",
            "no-new-privileges", "--user", f"{security['runAsUser']}:{security['runAsGroup']}",
            "--hostname", home.name, "--workdir", container["workingDir"],
            "--memory", container["resources"]["limits"]["memory"].removesuffix("i").lower(),
        ]  # fmt: skip
        for mount in container["volumeMounts"]:
            argv += [
                "--volume",
                f"{folders[mount['name']]}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}",
            ]
        for socket in self.sockets:
            argv += ["--volume", f"{socket}:{socket}"]
        for variable in container["env"]:
            value = self._value(variable)
            argv += [] if value is None else ["--env", f"{variable['name']}={value}"]
        words = [*container["command"], *container["args"]]
        argv += ["--entrypoint", "", container["image"], *(_filled(word, here) for word in words)]
        done = subprocess.run(
            [tools.command("podman"), *argv], capture_output=True, text=True, check=False, timeout=300,
            env=tools.containers(),
        )  # fmt: skip
        outputs = template.get("outputs", {}).get("parameters", [])
        written = [folders["tmp"] / item["valueFrom"]["path"].removeprefix("/tmp/") for item in outputs]
        outcome = json.loads(written[0].read_text()) if written and written[0].exists() else {}
        self.tries.append(Ran(template["name"], done.returncode, outcome, done.stdout + done.stderr))
        shutil.rmtree(home)
        return done.returncode

    def _value(self, variable: Doc) -> str | None:
        if "value" in variable:
            return str(variable["value"])
        reference = variable["valueFrom"]["secretKeyRef"]
        value = self.secrets.get(reference["name"], {}).get(reference["key"])
        assert value is not None or reference.get("optional"), reference
        return value

    def _volume(self, volume: Doc, home: Path) -> Path:
        folder = home / str(volume["name"])
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        files: Mapping[str, str] = {}
        if "persistentVolumeClaim" in volume:
            return self._claim(volume["persistentVolumeClaim"]["claimName"])
        if "configMap" in volume:
            files = self.maps.get(volume["configMap"]["name"], {})
            assert files or volume["configMap"].get("optional")
        elif "secret" in volume:
            files = self.secrets[volume["secret"]["secretName"]]
        else:
            assert "emptyDir" in volume
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder

    def _claim(self, name: str) -> Path:
        return self.claims[name]


def _filled(text: str, words: Mapping[str, str]) -> str:
    """Return a text with its places filled; an unknown place is a KeyError."""
    return _PLACE.sub(lambda found: words[found[1].strip()], text)


def _retried(expression: str, code: int) -> bool:
    """Tell whether a failed pod is tried again; the one expression that we render is known."""
    assert expression == "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 75"
    return code == 75
