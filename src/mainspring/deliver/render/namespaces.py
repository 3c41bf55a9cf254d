"""`security/namespaces.yaml`: one namespace an environment, held to the Restricted profile of pod security."""

from mainspring.deliver.render.content import Files, Objects
from mainspring.deliver.render.kubernetes import KEPT, kind, labels, namespace_of
from mainspring.deliver.render.subject import Subject

_LEVEL = "restricted"


def files(subject: Subject) -> Files:
    """Return the file, or nothing where no environment runs in a cluster."""
    if not subject.places:
        return {}
    enforced = {f"pod-security.kubernetes.io/{mode}": _LEVEL for mode in ("enforce", "audit", "warn")}
    return {
        "security/namespaces.yaml": Objects([
            kind("v1", "Namespace", {
                "name": namespace_of(subject, place),
                "labels": {**labels(subject, "namespace"), **enforced, "mainspring.dev/environment": place.name},
                "annotations": KEPT,
            })
            for place in subject.places
        ])
    }  # fmt: skip
