"""Every renderer, in the order of the reference tree. A new kind of file is one line here."""

from collections.abc import Callable

from mainspring.deliver.render import (
    access,
    argocd,
    chart,
    checks,
    compose,
    github,
    gitlab,
    images,
    mlflow,
    monitoring,
    namespaces,
    networks,
    platform,
    vault,
    workflows,
)
from mainspring.deliver.render.content import Content, Files
from mainspring.deliver.render.subject import Subject
from mainspring.kernel.errors import InvalidValue

RENDERERS: tuple[Callable[[Subject], Files], ...] = (
    namespaces.files,
    access.files,
    networks.files,
    vault.files,
    mlflow.files,
    argocd.files,
    platform.files,
    chart.files,
    images.files,
    checks.files,
    compose.files,
    github.files,
    gitlab.files,
    monitoring.files,
    workflows.files,
)


def rendered(subject: Subject) -> dict[str, Content]:
    """Return every file of the subject by path, sorted; two renderers never write one path."""
    found: dict[str, Content] = {}
    for make in RENDERERS:
        for path, content in make(subject).items():
            if path in found:
                raise InvalidValue(f"two renderers write {path}", fix="report it: this is a fault of mainspring")
            found[path] = content
    return dict(sorted(found.items()))
