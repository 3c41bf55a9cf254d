"""The import contracts hold, and each of them notices what it is there for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BREAKS = [
    ("Who may import whom", "kernel/planted.py", "import mainspring.data.views"),
    ("Who may import whom", "data/planted.py", "import mainspring.observe.plans"),
    ("Who may import whom", "flows/planted.py", "import mainspring.adapters.memory"),
    ("Who may import whom", "newroom/__init__.py", '"""A folder that has no place."""'),
    ("Only app names an adapter", "project/planted.py", "import mainspring.adapters.memory"),
    ("No infrastructure below adapters and app", "data/planted.py", "import pandas"),
    ("No infrastructure below adapters and app", "flows/planted.py", "import sqlite3"),
    ("Adapters are strangers", "adapters/git/planted.py", "import mainspring.adapters.files"),
    ("The command line starts the servers", "entry/inference/planted.py", "import mainspring.entry.cli.present"),
]


def judged(folder: Path) -> str:
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.fixture
def package(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "templates")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept(package: Path) -> None:
    assert "Contracts: 6 kept, 0 broken." in judged(package)


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "file", "line"), BREAKS, ids=[f"{file} {line}" for _, file, line in BREAKS])
def test_a_forbidden_import_is_noticed(package: Path, contract: str, file: str, line: str) -> None:
    planted = package / "src" / "mainspring" / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(line + "\n")
    told = judged(package)
    assert f"{contract} BROKEN" in told or (file.startswith("newroom") and "newroom" in told), told[-1500:]


@pytest.mark.slow
def test_a_cycle_between_siblings_is_noticed(package: Path) -> None:
    data = package / "src" / "mainspring" / "data"
    (data / "one.py").write_text("import mainspring.data.two\n")
    (data / "two.py").write_text("import mainspring.data.one\n")
    assert "No cycles between siblings, at any depth BROKEN" in judged(package)
