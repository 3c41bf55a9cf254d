"""Run rendered WorkflowTemplates without Argo: what runs, where, and what follows is read from their YAML alone.

Known of Argo: DAGs in their order, templates of templates, `depends` of `X.Succeeded` and `X.Failed`, `when` of two
texts, `withParam` (one at a time), `continueOn`, parameters in and out, retries by the template's expression (without
the pauses), exit handlers, emptyDir, ConfigMap, Secret and claim volumes; of its events the two kinds of expressions
that a binding has. What a pod is, `Cluster` leaves to who extends it.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PLACE = re.compile(r"\{\{([^}]+)\}\}")
CREATED = "2024-03-01T00:00:00Z"
Doc = dict[str, Any]
Outputs = Mapping[str, str]


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

    templates: WorkflowTemplates by name, for those that call each other.
    """

    folder: Path
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    claims: Mapping[str, Path] = field(default_factory=dict)
    templates: dict[str, Doc] = field(default_factory=dict)
    tries: list[Ran] = field(default_factory=list)

    def submit(self, template: Doc, name: str, created: str = CREATED, **given: str) -> str:
        """Run the template's entrypoint and its exit handler; return the workflow's phase."""
        spec, own = template["spec"], template["metadata"]["name"]
        self.templates[own] = template
        arguments = {item["name"]: item["value"] for item in spec.get("arguments", {}).get("parameters", [])}
        assert given.keys() <= arguments.keys()
        values = arguments | given
        words = {"workflow.name": name, "workflow.creationTimestamp": created}
        words |= {f"workflow.parameters.{key}": value for key, value in values.items()}
        first = self._template(own, {"template": spec["entrypoint"]})
        wanted = {item["name"] for item in first[1].get("inputs", {}).get("parameters", [])}
        phase, _ = self._run(first, {key: value for key, value in values.items() if key in wanted}, words)
        handlers = [{"template": spec["onExit"]}] if "onExit" in spec else []
        for handler in (*handlers, *spec.get("hooks", {}).values()):
            self._run(self._template(own, handler), {}, {**words, "workflow.status": phase})
        return phase

    def codes(self) -> list[tuple[str, int]]:
        """Return (task, exit status) of every try."""
        return [(ran.task, ran.code) for ran in self.tries]

    def outcome(self, task: str) -> Doc:
        """Return what a task wrote of itself at its last try."""
        return [ran.outcome for ran in self.tries if ran.task == task][-1]

    def attempt(self, template: Doc, here: Mapping[str, str], home: Path) -> tuple[int, str, Path]:
        """Run one container as the template says; return exit status, what it said, and the folder that was /tmp."""
        raise NotImplementedError

    def _template(self, own: str, call: Doc) -> tuple[str, Doc]:
        """Return the template that is called, and in which WorkflowTemplate its own calls are looked up."""
        where, name = own, call.get("template", "")
        if "templateRef" in call:
            where, name = call["templateRef"]["name"], call["templateRef"]["template"]
        (found,) = [one for one in self.templates[where]["spec"]["templates"] if one["name"] == name]
        return where, found

    def _run(
        self, called: tuple[str, Doc], given: Mapping[str, str], words: Mapping[str, str]
    ) -> tuple[str, Outputs]:  # fmt: skip
        where, template = called
        declared = template.get("inputs", {}).get("parameters", [])
        assert given.keys() <= {item["name"] for item in declared}
        inputs = {item["name"]: given.get(item["name"], item.get("value")) for item in declared}
        assert None not in inputs.values()
        outer = {name: text for name, text in words.items() if name.startswith("workflow.")}
        here = {**outer, **{f"inputs.parameters.{name}": str(value) for name, value in inputs.items()}}
        return self._dag(where, template["dag"], here) if "dag" in template else self._pod(template, here)

    def _dag(self, where: str, dag: Doc, here: Mapping[str, str]) -> tuple[str, Outputs]:
        """Run tasks in order. A task that is skipped or omitted has the phase of those before it; so has the whole."""
        known, phases, whole = dict(here), dict[str, str](), "Succeeded"
        for task in dag["tasks"]:
            wanted = [part.strip() for part in task.get("depends", "").split("||") if part]
            if wanted and not any(phases.get(part.partition(".")[0]) == part.partition(".")[2] for part in wanted):
                continue
            ran = []
            for item in _items(task, known):
                if not _is_met(task.get("when", ""), {**known, **item}):
                    continue
                parameters = task.get("arguments", {}).get("parameters", [])
                given = {one["name"]: filled(one["value"], {**known, **item}) for one in parameters}
                phase, outputs = self._run(self._template(where, task), given, here)
                ran.append(phase)
                known |= {f"tasks.{task['name']}.outputs.parameters.{name}": text for name, text in outputs.items()}
            if ran:
                phases[task["name"]] = "Failed" if "Failed" in ran else "Succeeded"
                goes_on = task.get("continueOn", {}).get("failed", False)
                whole = "Succeeded" if goes_on else phases[task["name"]]
        return whole, {}

    def _pod(self, template: Doc, here: Mapping[str, str]) -> tuple[str, Outputs]:
        again, declared = template["retryStrategy"], template.get("outputs", {}).get("parameters", [])
        for _ in range(int(again["limit"]) + 1):
            home = self.folder / f"pod-{len(self.tries)}"
            code, said, tmp = self.attempt(template, here, home)
            places = {item["name"]: tmp / item["valueFrom"]["path"].removeprefix("/tmp/") for item in declared}
            outputs = {
                item["name"]: places[item["name"]].read_text() if places[item["name"]].exists()
                else item["valueFrom"]["default"] for item in declared
            }  # fmt: skip
            self.tries.append(Ran(template["name"], code, json.loads(outputs.get("outcome") or "{}"), said))
            shutil.rmtree(home)
            if code == 0 or not _retried(again["expression"], code):
                break
        return "Succeeded" if code == 0 else "Failed", outputs

    def value(self, variable: Doc) -> str | None:
        """Return what an environment variable holds."""
        if "value" in variable:
            return str(variable["value"])
        reference = variable["valueFrom"]["secretKeyRef"]
        value = self.secrets.get(reference["name"], {}).get(reference["key"])
        assert value is not None or reference.get("optional"), reference
        return value

    def volume(self, volume: Doc, home: Path) -> Path:
        """Return the folder of a volume, made and filled below `home` unless it is a claim's."""
        folder = home / str(volume["name"])
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        files: Mapping[str, str] = {}
        if "persistentVolumeClaim" in volume:
            return self.claims[volume["persistentVolumeClaim"]["claimName"]]
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


def _items(task: Doc, known: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield what a task is run with: nothing, or each object of the list that `withParam` is."""
    if "withParam" not in task:
        yield {}
        return
    for item in json.loads(filled(task["withParam"], known)):
        yield {f"item.{name}": value for name, value in item.items()}


def _is_met(condition: str, known: Mapping[str, str]) -> bool:
    left, sign, right = filled(condition, known).partition(" == ")
    assert bool(sign) == bool(condition)
    return left == right


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return a text with its places filled; an unknown place is a KeyError."""
    return _PLACE.sub(lambda found: words[found[1].strip()], text)


def _retried(expression: str, code: int) -> bool:
    """Tell whether a failed pod is tried again; the one expression that we render is known."""
    assert expression == "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 75"
    return code == 75


def triggered(binding: Doc, discriminator: str, payload: Doc) -> dict[str, str] | None:
    """Return the arguments that an event gives to what a WorkflowEventBinding submits; None where it does not match.

    The language is expr's; known are comparisons of two terms joined by `&&`, sums of texts, texts, and paths into
    the payload. What is missing there is an error, as it is for Argo.
    """
    spec, known = binding["spec"], {"discriminator": discriminator, "payload": payload}
    for comparison in spec["event"]["selector"].split(" && "):
        left, right = comparison.split(" == ")
        if _term(left, known) != _term(right, known):
            return None
    found = {}
    for item in spec["submit"]["arguments"]["parameters"]:
        assert item.keys() == {"name", "valueFrom"}  # Argo refuses a plain value here
        found[item["name"]] = "".join(_term(part, known) for part in item["valueFrom"]["event"].split(" + "))
    return found


def _term(text: str, known: Doc) -> str:
    if text.startswith('"'):
        return str(json.loads(text))
    found: Any = known
    for name in text.split("."):
        found = found[name]
    assert isinstance(found, str)
    return found
