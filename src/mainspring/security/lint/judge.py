"""Run every rule over every file; leave out what a file excuses with a reason.

A line is excused by a comment on it or just above: `# mainspring: allow RULE because REASON`. The reason is part of
the grammar: without one nothing is excused. The same comment in the first ten lines excuses the whole file.
"""

from collections.abc import Callable, Sequence

from mainspring.security.leaks import leaks
from mainspring.security.lint import across, cluster, compose, gitops, names, pipelines, pods, scripts
from mainspring.security.lint.findings import RULES, Finding
from mainspring.security.lint.sources import ALLOW, Report, Source

_WHOLE_FILE = 10
_BY_KIND: dict[str, tuple[Callable[[Source, Report], None], ...]] = {
    "kubernetes": (pods.judge, cluster.judge, gitops.judge),
    "workflow": (pipelines.judge,),
    "compose": (compose.judge,),
    "dockerfile": (scripts.judge,),
    "script": (scripts.judge,),
    "prose": (scripts.judge,),
}


def lint(sources: Sequence[Source]) -> list[Finding]:
    """Return every finding, by path and line; each place is told once a rule."""
    found: dict[tuple[str, int, str, str], Finding] = {}
    excused = {source.path: _excused(source) for source in sources}

    def note(rule: str, source: Source, what: str, line: int) -> None:
        if (rule, 0) not in excused[source.path] and (rule, line) not in excused[source.path]:
            found[source.path, line, rule, what] = Finding(rule=RULES[rule], path=source.path, line=line, what=what)

    for source in sources:
        if source.failed:
            note("not-readable", source, source.failed, 1)
            continue
        for judge in _BY_KIND[source.kind]:
            judge(source, lambda rule, what, line, source=source: note(rule, source, what, line))  # type: ignore[misc]
        for line, _ in leaks(source.text.encode("utf-8", "replace")):
            note("secret-inline", source, "what looks like a credential stands here", line)
    for item in (*across.judge(sources), *names.judge(across.placed_in(sources))):
        note(item.rule, item.source, item.what, item.line)
    return [found[key] for key in sorted(found)]


def _excused(source: Source) -> set[tuple[str, int]]:
    """Return (rule, line) that the file excuses; line 0 stands for all of it."""
    found: set[tuple[str, int]] = set()
    for number, row in enumerate(source.text.splitlines(), start=1):
        match = ALLOW.search(row)
        if match and match[1] in RULES:
            found.update({(match[1], number), (match[1], number + 1)})
            if number <= _WHOLE_FILE and row.lstrip().startswith("#"):
                found.add((match[1], 0))
    return found
