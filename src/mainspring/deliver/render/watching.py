"""What runs `watch --once` in an environment, and what lets an alert start a retraining.

A CronWorkflow or a plain CronJob, never both; one look at a time, none of those that were missed; in UTC, as the
project's ticks are. What a watch keeps between looks (scores, labels, compacted predictions) is on a claim of its own.
With pods apart the look only decides: it hands the candidate that it asks for to the retraining's templates; else it
trains in its own pod. Kubernetes: "CronJob"; Argo Workflows: "Cron workflows", "Events" (payload of Alertmanager's
webhook: `commonLabels.alertname`, `status`).
"""

from mainspring.deliver.render.access import account
from mainspring.deliver.render.kubernetes import KEPT, identified, kind, labels, metadata, pod_security
from mainspring.deliver.render.steps import STATE, Doc, Pod, cloned, container, template
from mainspring.deliver.render.subject import Place, Subject, logged_to
from mainspring.kernel.needs import StepNeeds

API = "argoproj.io/v1alpha1"
ZONE = "UTC"
_ASK = "/tmp/ask"  # noqa: S108 - a pod's own folder
_GIVEN = ("reason", "at", "cause")
_US, _LATE_S, _GROWTH = 1_000_000, 600, "10Gi"


def objects(subject: Subject, place: Place, *, apart: bool) -> list[Doc]:
    """Return the schedule with its claim; with pods apart also what an alert starts."""
    head = metadata(subject, place, f"{subject.name}-watch", "watch")
    claim = kind("v1", "PersistentVolumeClaim", head | {"annotations": KEPT}, spec={
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _GROWTH}},
    })  # fmt: skip
    if place.scheduler == "cronjob":
        return [claim, kind("batch/v1", "CronJob", head, spec=_job(subject, place))]
    looks = kind(API, "WorkflowTemplate", head, spec=_looks(subject, place, apart=apart))
    scheduled = kind(API, "CronWorkflow", head, spec=_workflow(subject, place))
    return [claim, looks, scheduled, *([_binding(subject, place)] if apart else [])]


def _pod(subject: Subject, place: Place, *, apart: bool) -> Pod:
    words = ["watch", "--once", "--env", place.name, *cloned(subject)]
    words += ["--log", logged_to(place)] if logged_to(place) else []
    state = {"name": "state", "persistentVolumeClaim": {"claimName": f"{subject.name}-watch"}}
    return Pod(
        name="watch", words=[*words, "--ask", _ASK] if apart else words, job="watch", ledger=True, key=True, git=True,
        needs=_needs(subject, apart=apart), inputs={}, volumes=[(state, STATE)],
        outputs={name: f"{_ASK}/{name}" for name in ("asked", *_GIVEN)} if apart else {},
    )  # fmt: skip


def _needs(subject: Subject, *, apart: bool) -> StepNeeds:
    """Return what a look needs: also a whole training's steps where it trains itself."""
    others = subject.steps.get("others", StepNeeds())
    if apart:
        return others
    steps = [*subject.steps.values(), others]
    return StepNeeds(
        cpu_m=max(step.cpu_m for step in steps), memory_mi=max(step.memory_mi for step in steps),
        gpu=max(step.gpu for step in steps), seconds=sum(step.seconds for step in steps),
    )  # fmt: skip


def _timing(subject: Subject) -> Doc:
    """Return when a look may still begin late: a tenth of a tick, at least ten minutes, and how they follow."""
    late = max(_LATE_S, subject.every_us // _US // 10)
    return {
        "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": late, "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
    }  # fmt: skip


def _job(subject: Subject, place: Place) -> Doc:
    pod = _pod(subject, place, apart=False)
    whole = template(subject, place, pod)
    spec: Doc = {
        "serviceAccountName": account(subject, "watch"), "automountServiceAccountToken": False,
        "securityContext": pod_security(), "restartPolicy": "Never", "volumes": whole["volumes"],
        "containers": [container(subject, place, pod)],
        **{name: whole[name] for name in ("nodeSelector", "tolerations", "priorityClassName") if name in whole},
    }  # fmt: skip
    return {
        "schedule": place.schedule, "timeZone": ZONE, **_timing(subject),
        "jobTemplate": {"spec": {
            "activeDeadlineSeconds": pod.needs.seconds, "backoffLimit": 2, "ttlSecondsAfterFinished": 86_400,
            "podFailurePolicy": {"rules": [{
                "action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [1, 2, 3]},
            }]},
            "template": {"metadata": {"labels": {**labels(subject, "watch"), **identified(place)}},
                         "spec": spec},
        }},
    }  # fmt: skip


def _workflow(subject: Subject, place: Place) -> Doc:
    """Return the schedule; what it starts stands in a template, for a controller may be told to run nothing else."""
    looks = _looks(subject, place, apart=False)["activeDeadlineSeconds"]
    spec = {"workflowTemplateRef": {"name": f"{subject.name}-watch"}, "activeDeadlineSeconds": looks}
    return {"schedules": [place.schedule], "timezone": ZONE, **_timing(subject), "workflowSpec": spec}


def _looks(subject: Subject, place: Place, *, apart: bool) -> Doc:
    """Return the workflow of one look."""
    pod = _pod(subject, place, apart=apart)
    spec: Doc = {
        "activeDeadlineSeconds": 2 * sum(needs.seconds for needs in subject.steps.values()) + 7200,
        "podGC": {"strategy": "OnWorkflowSuccess"},
        "ttlStrategy": {"secondsAfterSuccess": 86_400, "secondsAfterFailure": 7 * 86_400},
        "entrypoint": "watch", "serviceAccountName": account(subject, "watch"), "securityContext": pod_security(),
        "templates": [template(subject, place, pod)],
    }  # fmt: skip
    if apart:
        retrain = f"{subject.name}-retrain"
        spec["entrypoint"] = "look"
        spec["hooks"] = {"exit": {"templateRef": {"name": retrain, "template": "end"}}}
        asked = [{"name": name, "value": f"{{{{tasks.watch.outputs.parameters.{name}}}}}"} for name in _GIVEN]
        asked.append({"name": "trigger", "value": "watch"})
        look = {"name": "look", "dag": {"tasks": [
            {"name": "watch", "template": "watch"},
            {"name": "retrain", "depends": "watch.Succeeded", "templateRef": {"name": retrain, "template": "retrain"},
             "when": "{{tasks.watch.outputs.parameters.asked}} == yes", "arguments": {"parameters": asked}},
        ]}}  # fmt: skip
        spec["templates"] = [look, *spec["templates"]]
    return spec


def _binding(subject: Subject, place: Place) -> Doc:
    """Return what turns Alertmanager's webhook, posted to `/api/v1/events/<namespace>/<project>-drift`, into a run.

    The run is one that an alert asks for: its first pod weighs it by the policy of the watch.
    """
    name = f"{subject.name}-drift"
    given = {"reason": '"alert " + payload.commonLabels.alertname', "trigger": '"alert"'}
    return kind(API, "WorkflowEventBinding", metadata(subject, place, name, "submit"), spec={
        "event": {"selector": f'discriminator == "{name}" && payload.status == "firing"'},
        "submit": {
            "workflowTemplateRef": {"name": f"{subject.name}-retrain"},
            "arguments": {"parameters": [
                {"name": parameter, "valueFrom": {"event": expression}} for parameter, expression in given.items()
            ]},
        },
    })  # fmt: skip
