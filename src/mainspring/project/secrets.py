"""Find secrets that stand in a project file, so that they are refused before they are committed or printed."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mainspring.project.mistakes import Path
from mainspring.security.leaks import KNOWN

_IN_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
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
    if _NAMED.search(name) or KNOWN.search(text) or _IN_ADDRESS.search(text):
        return True
    return any(_random(word[0]) for word in _DENSE.finditer(text) if "@sha256:" not in text)


def _random(word: str) -> bool:
    if not (re.search(r"\d", word) and re.search(r"[A-Z]", word) and re.search(r"[a-z]", word)):
        return False
    bits = -sum(count / len(word) * math.log2(count / len(word)) for count in Counter(word).values())
    return bits >= _MIN_BITS
