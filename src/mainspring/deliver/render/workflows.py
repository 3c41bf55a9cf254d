"""`workflows/<environment>.yaml`: train, search and score as WorkflowTemplates; the pods of one run meet in stores.

The run's id is the workflow's name. `begin` and `register-model` open the ledger, the four steps between get neither
ledger nor key. A refused candidate ends the workflow well: `register-model` leaves with 3, and `release`, the last
task, decides what the whole is worth (Argo Workflows, "Enhanced depends": a task after a failed one decides for it).
What an alert or a watch asks for, `begin` weighs once more; for a run that is not due it says `no`, no later pod is
made, and the workflow ends well, for a task that is skipped or omitted has the phase of those before it.
One retraining at a time in an environment, by a mutex; so many fits at once, a search's too, by a semaphore. Where an
environment does not keep ledger, models and tables in stores that every pod reaches, only `watching` is rendered, and
the watch trains in its own pod.
"""

from collections.abc import Iterable, Mapping, Sequence

from mainspring.deliver.render import watching
from mainspring.deliver.render.access import account
from mainspring.deliver.render.content import Content, Files, Objects
from mainspring.deliver.render.kubernetes import kind, metadata, pod_security
from mainspring.deliver.render.steps import (
    FEW,
    FOLDER,
    OUTCOME,
    RELEASE,
    RUN,
    STATE,
    TRUST,
    Doc,
    Pod,
    askpass,
    cloned,
    template,
)
from mainspring.deliver.render.subject import Place, Subject, logged_to
from mainspring.kernel.needs import StepNeeds

API = "argoproj.io/v1alpha1"
STEPS = ("fetch-data", "preprocess", "train-model", "validate-model")
BEGIN, REGISTER, RELEASE_STEP, END, RETRAIN = "begin", "register-model", "release", "end", "retrain"
SEARCH, CHOOSE = "search", "choose"
_NAME = "{{workflow.name}}"
_DAY, _AT_ONCE, _TRIALS = 86_400, 4, 8
_ASKED = {"run": None, "reason": "asked for", "at": "", "cause": "", "set": "", "trigger": ""}
_ANSWER = "/tmp/answer"  # noqa: S108 - a pod's own folder


def files(subject: Subject) -> Files:
    """Return a file for each environment that has a scheduler."""
    found: dict[str, Content] = {}
    for place in subject.places:
        if place.scheduler:
            access = [askpass(subject, place)] if subject.repository else []
            access += [_limits(subject, place)] if apart(place) else []
            objects = [*access, *_templates(subject, place), *watching.objects(subject, place, apart=apart(place))]
            found[f"workflows/{place.name}.yaml"] = Objects(objects)
    return found


def _limits(subject: Subject, place: Place) -> Doc:
    """Return how many fits may run at once; the controller reads it whenever one asks to begin."""
    return kind("v1", "ConfigMap", metadata(subject, place, f"{subject.name}-limits", "steps"), data={
        "trainings": str(_AT_ONCE),
    })  # fmt: skip


def apart(place: Place) -> bool:
    """Tell whether pods of an environment can work on one run: Argo starts them, and all of them reach its stores."""
    return place.scheduler == "cronworkflow" and all(place.stores.get(name) for name in ("ledger", "models", "tables"))


def step_pods(subject: Subject, place: Place) -> list[Pod]:
    """Return the pods of a training, in order."""
    asked = ["--reason", "{{inputs.parameters.reason}}", "--at", "{{inputs.parameters.at}}",
             "--cause", "{{inputs.parameters.cause}}", "--set", "{{inputs.parameters.set}}",
             "--trigger", "{{inputs.parameters.trigger}}", "--since", "{{workflow.creationTimestamp}}",
             "--answer", _ANSWER, "--release-file", RELEASE]  # fmt: skip
    return [
        Pod(
            name=BEGIN, words=[*_words(BEGIN, place), *asked], needs=_needs(subject, "fetch-data"), ledger=True,
            release=True, inputs=_ASKED, outputs={**_OUTCOME, "begun": _ANSWER},
            volumes=_data(place),
        ),
        *(
            Pod(name=name, words=[*_words(name, place), "--trust", TRUST], needs=_needs(subject, name),
                inputs=_RUN, outputs=_OUTCOME)
            for name in STEPS
        ),
        Pod(name=REGISTER, words=_words(REGISTER, place), needs=_needs(subject, REGISTER), ledger=True, key=True,
            inputs=_RUN, outputs=_OUTCOME),
    ]  # fmt: skip


_RUN: Mapping[str, str | None] = {"run": None}
_OUTCOME = {"outcome": OUTCOME}


def _words(name: str, place: Place) -> list[str]:
    return ["step", name, "--run", RUN, "--env", place.name, "--outcome", OUTCOME]


def _needs(subject: Subject, name: str) -> StepNeeds:
    return subject.steps.get(name, StepNeeds())


def _templates(subject: Subject, place: Place) -> list[Doc]:
    if not apart(place):
        return []
    search = [_search(subject, place)] if subject.search else []
    return [_retrain(subject, place), *search, _score(subject, place)]


def _retrain(subject: Subject, place: Place) -> Doc:
    release = Pod(
        name=RELEASE_STEP, words=[*_words(RELEASE_STEP, place), *cloned(subject)], needs=FEW, ledger=True, key=True,
        git=True,
        inputs=_RUN, outputs=_OUTCOME,
    )  # fmt: skip
    pods = [*step_pods(subject, place), release]
    asked = {name: value for name, value in _ASKED.items() if name != "run"}
    end = Pod(
        name=END, words=["step", END, "--run", _NAME, "--env", place.name, "--status", "{{workflow.status}}"],
        needs=FEW, ledger=True, inputs={}, outputs={},
    )  # fmt: skip
    whole = {
        "name": RETRAIN,
        "inputs": {"parameters": [{"name": name, "value": value} for name, value in asked.items()]},
        "synchronization": {"mutexes": [{"name": f"{subject.name}-{RETRAIN}"}]},
        "dag": {"tasks": _tasks(pods, _NAME, asked)},
    }  # fmt: skip
    spec = {
        **_life(sum(pod.needs.seconds for pod in pods)),
        "entrypoint": RETRAIN, "onExit": END,
        "arguments": {"parameters": [{"name": name, "value": value} for name, value in asked.items()]},
        "templates": [whole, *(_limited(subject, template(subject, place, pod)) for pod in (*pods, end))],
    }  # fmt: skip
    return kind(API, "WorkflowTemplate", metadata(subject, place, f"{subject.name}-{RETRAIN}", "steps"), spec=spec)


def _limited(subject: Subject, made: Doc) -> Doc:
    """Return a template; the one that fits waits for its turn, whoever calls it."""
    if made["name"] != "train-model":
        return made
    limit = {"name": f"{subject.name}-limits", "key": "trainings"}
    return {**made, "synchronization": {"semaphores": [{"configMapKeyRef": limit}]}}


def _tasks(pods: Sequence[Pod], run: str, given: Iterable[str]) -> list[Doc]:
    """Return one task a pod, each after the one before. given: inputs of the caller that `begin` gets too."""
    tasks: list[Doc] = []
    for before, pod in zip([None, *pods], pods, strict=False):
        names = {
            "run": run,
            **({name: f"{{{{inputs.parameters.{name}}}}}" for name in given} if pod.name == BEGIN else {}),
        }
        task: Doc = {
            "name": pod.name, "template": pod.name,
            "arguments": {"parameters": [{"name": name, "value": value} for name, value in names.items()]},
        }  # fmt: skip
        if before:
            failed = f" || {before.name}.Failed" if pod.name == RELEASE_STEP else ""
            task["depends"] = f"{before.name}.Succeeded{failed}"
            if before.name == BEGIN:
                task["when"] = f"{{{{tasks.{BEGIN}.outputs.parameters.begun}}}} == yes"
        tasks.append(task)
    return tasks


def _search(subject: Subject, place: Place) -> Doc:
    """Return the template that tries parameters as the project file says, a trial a chain of pods, then retrains.

    A trial that fails has no say; `choose` fails where none is left. Trials share, by key, what no parameter changes.
    """
    others, told = _needs(subject, "others"), {"outcome": OUTCOME}
    plan = Pod(
        name=SEARCH, words=[*_words(SEARCH, place), "--answer", _ANSWER, "--release-file", RELEASE], needs=others,
        ledger=True, release=True, inputs=_RUN, outputs={**told, "trials": _ANSWER}, volumes=_data(place),
    )  # fmt: skip
    choose = Pod(
        name=CHOOSE, words=[*_words(CHOOSE, place), "--answer", _ANSWER], needs=others, ledger=True, inputs=_RUN,
        outputs={**told, "set": _ANSWER},
    )  # fmt: skip
    pods = [pod for pod in step_pods(subject, place) if pod.name in STEPS]
    trial = {
        "name": "trial", "inputs": {"parameters": [{"name": "run"}]},
        "dag": {"tasks": [_elsewhere(subject, task) for task in _tasks(pods, "{{inputs.parameters.run}}", ())]},
    }  # fmt: skip
    given = {"reason": "the best of a search", "set": f"{{{{tasks.{CHOOSE}.outputs.parameters.set}}}}"}
    tasks = [
        _task(SEARCH, {"run": _NAME}, template=SEARCH),
        _task("trial", {"run": "{{item.run}}"}, template="trial", depends=f"{SEARCH}.Succeeded",
              withParam=f"{{{{tasks.{SEARCH}.outputs.parameters.trials}}}}"),
        _task(CHOOSE, {"run": _NAME}, template=CHOOSE, depends="trial.Succeeded || trial.Failed"),
        _task(RETRAIN, given, depends=f"{CHOOSE}.Succeeded",
              templateRef={"name": f"{subject.name}-{RETRAIN}", "template": RETRAIN}),
    ]  # fmt: skip
    every = {"name": "every", "parallelism": _AT_ONCE, "dag": {"failFast": False, "tasks": tasks}}
    spec = {
        **_life(_TRIALS * sum(pod.needs.seconds for pod in step_pods(subject, place))), "entrypoint": "every",
        "serviceAccountName": account(subject, "steps"), "securityContext": pod_security(),
        "hooks": {"exit": {"templateRef": {"name": f"{subject.name}-{RETRAIN}", "template": END}}},
        "templates": [every, trial, template(subject, place, plan), template(subject, place, choose)],
    }  # fmt: skip
    return kind(API, "WorkflowTemplate", metadata(subject, place, f"{subject.name}-search", "steps"), spec=spec)


def _task(name: str, given: Mapping[str, str], **more: object) -> Doc:
    parameters = [{"name": parameter, "value": value} for parameter, value in given.items()]
    return {"name": name, **more, "arguments": {"parameters": parameters}}


def _data(place: Place) -> list[tuple[Doc, str]]:
    """Return the volume with the sources' files, where an environment has one."""
    data = {"name": "data", "persistentVolumeClaim": {"claimName": place.data_claim, "readOnly": True}}
    return [(data, f"{FOLDER}/data")] if place.data_claim else []


def _score(subject: Subject, place: Place) -> Doc:
    """Return the template that scores a period a pod. Answers go to `stores.tables`, where a killed pod goes on."""
    item = {"from": "{{item.from}}", "to": "{{item.to}}", "job": _NAME}
    sink = logged_to(place)
    pod = Pod(
        name="period", needs=_needs(subject, "others"), ledger=True, release=True, outputs={},
        inputs=dict.fromkeys(item),
        words=[
            "score", "--env", place.name, "--period", "{{inputs.parameters.from}}", "{{inputs.parameters.to}}",
            "--out", f"{STATE}/scores", "--release-file", RELEASE, "--trust", TRUST,
            "--to", f"{place.stores['tables']}/scores/{{{{inputs.parameters.job}}}}/{{{{inputs.parameters.from}}}}",
            *(("--log-sink", sink) if sink else ()),
        ],
    )  # fmt: skip
    every = {
        "name": "score", "parallelism": _AT_ONCE,
        "dag": {"failFast": False, "tasks": [{
            "name": "period", "template": "period", "withParam": "{{workflow.parameters.periods}}",
            "arguments": {"parameters": [{"name": name, "value": value} for name, value in item.items()]},
        }]},
    }  # fmt: skip
    spec = {
        **_life(_TRIALS * pod.needs.seconds), "entrypoint": "score",
        "serviceAccountName": account(subject, "steps"), "securityContext": pod_security(),
        "arguments": {"parameters": [
            {"name": "periods", "value": '[{"from":"2024-01-01","to":"2024-01-02"}]'},
        ]},
        "templates": [every, template(subject, place, pod)],
    }  # fmt: skip
    return kind(API, "WorkflowTemplate", metadata(subject, place, f"{subject.name}-score", "steps"), spec=spec)


def _elsewhere(subject: Subject, task: Doc) -> Doc:
    """Return a task that calls its template in the retraining's WorkflowTemplate."""
    reference = {"name": f"{subject.name}-{RETRAIN}", "template": task["template"]}
    return {**{name: value for name, value in task.items() if name != "template"}, "templateRef": reference}


def _life(seconds: int) -> Doc:
    """Return how long a workflow may take (each step twice, and an hour of waiting), and what is left of it."""
    return {
        "activeDeadlineSeconds": 2 * seconds + 3600,
        "podGC": {"strategy": "OnWorkflowSuccess", "deleteDelayDuration": "1h"},
        "ttlStrategy": {"secondsAfterSuccess": 7 * _DAY, "secondsAfterFailure": 30 * _DAY},
    }
