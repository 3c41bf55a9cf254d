"""`ci/checks.lock`: the linter, the test runner and the auditor that a pipeline installs, pinned and hashed."""

from mainspring.deliver.render.content import Files, Text
from mainspring.deliver.render.pipeline import CHECKS
from mainspring.deliver.render.subject import Subject


def files(subject: Subject) -> Files:
    """Return the lock where a project has pipelines."""
    return {CHECKS: Text(subject.shipped["images/checks.lock"])} if subject.ci and subject.places else {}
