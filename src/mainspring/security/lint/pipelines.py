"""Rules on GitHub workflows and GitLab pipelines."""

import re
from typing import Any

from mainspring.security.lint.scripts import judge_shell
from mainspring.security.lint.sources import Path, Report, Source, mapped, texts

_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}|\./\S+|docker://\S+@sha256:[0-9a-f]{64}")
_IMAGE = re.compile(r"\S+@sha256:[0-9a-f]{64}|Dockerfile")
_BROAD = re.compile(r"secrets\.(\w*(?:_PAT|PAT_|PERSONAL_ACCESS)\w*)|\b(GIT_PAT|GH_PAT)\b")
_EDITS = re.compile(r"\b(?:sed\s+-i|perl\s+-pi|awk\s+-i)[^\n]*\.ya?ml")
_INJECTED = re.compile(
    r"\$\{\{\s*github\.(?:head_ref|event\.(?:issue|pull_request|comment|review|head_commit|discussion)[\w.]*)"
)


def judge(source: Source, report: Report) -> None:
    """Report what is wrong with a workflow file."""
    for index, document in enumerate(source.documents):
        if isinstance(document, dict) and isinstance(document.get("jobs"), dict):
            _github(source, index, document, report)
        elif "runs" in mapped(document):
            _github(source, index, {"jobs": {}, "permissions": {}, **document}, report)
        for path, text in texts(document):
            if _names_image(path) and "$" not in text and not _IMAGE.fullmatch(text):
                report("image-mutable", f"image {text[:80]!r} is not pinned by digest", source.line(index, path))
            if (path and path[-1] == "run") or "script" in path:
                _script(text, report, source.line(index, path))


def _names_image(path: Path) -> bool:
    """Tell whether a text names the image of a job or of a service beside it."""
    return path[-1:] in (("image",), ("container",)) or path[-2:] == ("image", "name")


def _github(source: Source, index: int, document: dict[str, Any], report: Report) -> None:
    jobs = [mapped(job) for job in document["jobs"].values()]
    if "permissions" not in document and not all("permissions" in job for job in jobs):
        report("workflow-permissions", "no permissions block", source.line(index, ("jobs",)))
    if any(scope.get("permissions") == "write-all" for scope in (document, *jobs)):
        report("workflow-permissions", "permissions: write-all", source.line(index, ("permissions",)))
    trusted = "pull_request_target" not in str(document.get("on", document.get("true")))
    for path, text in texts(document):
        line = source.line(index, path)
        if path[-1] == "uses" and not _PINNED.fullmatch(text.split(" #")[0].strip()):
            report("action-unpinned", f"{text[:80]!r} is not pinned by commit", line)
        if path[-1] == "ref" and "pull_request.head" in text and not trusted:
            report("workflow-injection", "pull_request_target checks out a stranger's code", line)
        found = _BROAD.search(text)
        if found:
            report("token-broad", f"{found[1] or found[2]} is a personal access token", line)


def _script(text: str, report: Report, line: int) -> None:
    for offset, row in enumerate(text.splitlines()):
        if _EDITS.search(row):
            report("workflow-edits-yaml", f"{row.strip()[:80]!r} edits YAML as text", line + offset)
        if _INJECTED.search(row):
            report("workflow-injection", f"{row.strip()[:80]!r} pastes a stranger's text into a script", line + offset)
    judge_shell(text, report, line)
