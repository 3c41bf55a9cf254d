"""How many cores are granted: the least of what is seen and of every quota above the process."""

import os
from pathlib import Path

import pytest

from mainspring.app.cores import granted


def made(root: Path, files: dict[str, str], own: str) -> int:
    for name, text in files.items():
        path = root / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "own").write_text(own)
    return granted(root / "groups", root / "own")


SEEN = granted(Path("/nowhere"), Path("/nowhere"))
TWO = min(SEEN, 2)


@pytest.mark.parametrize(
    ("files", "own", "cores"),
    [
        ({}, "", SEEN), ({"cpu.max": "max 100000\n"}, "0::/\n", SEEN), ({"cpu.max": "50000 100000\n"}, "0::/\n", 1),
        ({"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 1),
        ({"a/cpu.max": "50000 100000"}, "0::/b\n", SEEN), ({"cpu.max": "150000 100000"}, "0::/\n", TWO),
        ({"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
         "3:cpu,cpuacct:/docker/x\n1:name=systemd:/\n", 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu:/\n", SEEN),
        ({"cpu.max": "nonsense"}, "nonsense\n", SEEN), ({"cpu.max": "100000 0"}, "0::/\n", SEEN),
    ],
)  # fmt: skip
def test_a_quota_counts_wherever_it_stands(tmp_path: Path, files: dict[str, str], own: str, cores: int) -> None:
    assert 1 <= SEEN <= (os.cpu_count() or 1)
    assert made(tmp_path, files, own) == cores
