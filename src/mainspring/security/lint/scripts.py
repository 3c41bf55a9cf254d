"""Rules on shell scripts, Dockerfiles and the commands that documents tell readers to run."""

import re

from mainspring.security.lint.sources import Report, Source

_VAULT = re.compile(r"\bvault\s+kv\s+(?:put|patch)\s+\S+(?:\s+(?!-)[\w.-]+=(?![@-])\S+)")
_PASSWORD = re.compile(
    r"(?:\s--?(?:password|token|api-?key|secret)[ =]|\blogin\b[^\n|]*\s-p[ =]?)"
    r"(?![$\"']?\$)['\"]?[A-Za-z0-9][^\s'\"]{3,}",
    re.IGNORECASE,
)
_PIP = re.compile(r"\bpip3?\s+install\s+(?P<rest>[^\n;&|]+)")
_EXPOSED = re.compile(r"\bmlflow\s+(?:ui|server)\b[^\n]*--host[ =]0\.0\.0\.0")
_PIPED = re.compile(r"\b(?:curl|wget)\b[^\n|]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b")
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_USER = re.compile(r"^USER\s+(\S+)", re.IGNORECASE)
_ADD = re.compile(r"^ADD\s+(?:--(?!checksum)\S+\s+)*https?:", re.IGNORECASE)
_SECRET = re.compile(r"^(?:ENV|ARG)\s+\w*(?:PASSWORD|SECRET|TOKEN|API_?KEY)\w*[= ]\s*\S+", re.IGNORECASE)
_LATEST = re.compile(r"\b(?:docker|podman)\s+(?:run|pull)\b[^\n]*?\s(\S+:latest)\b")


def judge(source: Source, report: Report) -> None:
    """Report what is wrong with a script, a Dockerfile, or commands in a document."""
    if source.kind == "dockerfile":
        _dockerfile(source, report)
    elif source.kind == "script":
        judge_shell(source.text, report, 1)
    elif source.kind == "prose":
        _prose(source, report)


def judge_shell(text: str, report: Report, line: int) -> None:
    """Report unsafe commands of a shell script whose first line is `line`; continued lines are read as one."""
    for offset, row in _joined(text):
        here = line + offset
        if row.lstrip().startswith("#"):
            continue
        if _VAULT.search(row) or _PASSWORD.search(row):
            report("secret-on-command-line", "a secret is an argument of a command", here)
        if _EXPOSED.search(row):
            report("tracking-exposed", "MLflow listens on every address", here)
        if _PIPED.search(row):
            report("docker-remote-add", "a download is run unverified", here)
        found = _LATEST.search(row)
        if found:
            report("image-mutable", f"{found[1][:80]!r} is not pinned by digest", here)
        pip = _PIP.search(row)
        if pip and _unpinned(pip["rest"]):
            report("pip-unpinned", f"{row.strip()[:80]!r} names packages without hashes", here)


def _joined(text: str) -> list[tuple[int, str]]:
    rows: list[tuple[int, str]] = []
    start = 0
    parts: list[str] = []
    for offset, row in enumerate(text.splitlines()):
        if not parts:
            start = offset
        if row.endswith("\\"):
            parts.append(row[:-1])
            continue
        rows.append((start, " ".join([*parts, row])))
        parts = []
    if parts:
        rows.append((start, " ".join(parts)))
    return rows


def _unpinned(rest: str) -> bool:
    """Tell whether a pip command installs by name: no hashes asked for, and something that is not a local path."""
    words = [word.strip("'\"") for word in rest.split()]
    if "--require-hashes" in words or "--no-index" in words:
        return False
    takes_value = {"-r", "--requirement", "-c", "--constraint", "--target", "-t", "--python", "--find-links", "-f"}
    if any(word in ("-r", "--requirement") or word.startswith("--requirement=") for word in words):
        return True
    named = [
        word for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in takes_value
    ]  # fmt: skip
    return any(not word.startswith((".", "/", "$")) and not word.endswith(".whl") for word in named)


def _dockerfile(source: Source, report: Report) -> None:
    stages: set[str] = set()
    user, last = "", 1
    for offset, row in _joined(source.text):
        line = offset + 1
        found = _FROM.match(row)
        if found:
            user, last = "", line
            if (
                "@sha256:" not in found["image"]
                and found["image"] not in (*stages, "scratch")
                and "$" not in found["image"]
            ):
                report("image-mutable", f"base image {found['image'][:80]!r} is not pinned by digest", line)
            if found["name"]:
                stages.add(found["name"])
        chosen = _USER.match(row)
        user = chosen[1] if chosen else user
        if _ADD.match(row):
            report("docker-remote-add", "ADD downloads what nobody verified", line)
        if _SECRET.match(row):
            report("docker-secret", "a secret is set into the image", line)
        if row.upper().startswith("RUN"):
            judge_shell(row[3:], report, line)
    if user.split(":")[0] in ("", "root", "0"):
        report("docker-root", "the final image runs as root", last)


_FENCE = re.compile(r"^\s*(```|~~~)")


def _prose(source: Source, report: Report) -> None:
    """Read the fenced blocks of a document as scripts: readers paste them."""

    def told(rule: str, what: str, line: int) -> None:
        if rule != "pip-unpinned":  # a reader who tries a package by hand is not a build
            report(rule, what, line)

    inside, start, rows = False, 0, list[str]()
    for number, row in enumerate(source.text.splitlines(), start=1):
        if _FENCE.match(row):
            if inside:
                judge_shell("\n".join(rows), told, start)
            inside, start, rows = not inside, number + 1, []
        elif inside:
            rows.append(row)
