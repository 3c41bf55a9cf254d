"""How many cores this process may use: what the scheduler lets it run on, and what its container's quota grants."""

import os
from math import ceil
from pathlib import Path

_V2, _V1 = "cpu.max", ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def granted(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the cores granted, at least 1; a part of a core counts as one.

    groups, own: where Linux tells of quotas (control groups, version 2 and 1), and which groups are this process's.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    seen = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min([seen, *(ceil(share) for share in _quotas(groups, own) if share > 0)]))


def _quotas(groups: Path, own: Path) -> list[float]:
    """Return the cores that each quota above this process grants."""
    found = []
    for folder in _folders(groups, own):
        words = _words(folder / _V2) or [word for name in _V1 for word in _words(folder / name)]
        quota, period = words if len(words) == len(_V1) else ("max", "")
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return found


def _folders(groups: Path, own: Path) -> list[Path]:
    """Return the folders of this process's groups and of those above them, as far as they are seen from here."""
    roots = [(groups, "/")]
    for line in _text(own).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers or "cpu" in controllers.split(","):
            roots.append((groups / controllers, path))
    wanted = [(root / path.lstrip("/"), root) for root, path in roots]
    return [folder for leaf, root in wanted for folder in (leaf, *leaf.parents) if folder.is_relative_to(root)]


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
