"""Find secrets that stand in a project file, so that they are refused before they are committed or printed."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mainspring.project.mistakes import Path

_KNOWN = re.compile(
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|sk-[A-Za-z0-9_-]{16,}|sk_(live|test)_\w{16,}|AIza[\w-]{30,}|hv[sb]\.[\w-]{20,}"
    r"|npm_\w{30,}|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.|hooks\.slack\.com/services/|://[^/\s:@]*:[^/\s@]+@"
)
_NAMED = re.compile(r"(?i)(^|_|-)(password|passwd|secret|token|api_?key|access_?key|private_?key|credentials?)$")
_DENSE = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_MIN_BITS = 3.7


def inline_secrets(value: Any, path: Path = ()) -> Iterator[Path]:  # noqa: ANN401 - any document
    """Yield the path of every text that looks like a secret rather than a reference to one."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from inline_secrets(item, (*path, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from inline_secrets(item, (*path, index))
    elif isinstance(value, str) and looks_secret(value, str(path[-1]) if path else ""):
        yield path


def looks_secret(text: str, name: str = "") -> bool:
    """Tell whether `text`, the value of the key `name`, looks like a credential."""
    if not text or text.startswith("secret://"):
        return False
    if _NAMED.search(name) or _KNOWN.search(text):
        return True
    return any(_random(word[0]) for word in _DENSE.finditer(text) if "@sha256:" not in text)


def _random(word: str) -> bool:
    if not (re.search(r"\d", word) and re.search(r"[A-Z]", word) and re.search(r"[a-z]", word)):
        return False
    bits = -sum(count / len(word) * math.log2(count / len(word)) for count in Counter(word).values())
    return bits >= _MIN_BITS
