"""What a machine can check of the house rules; each failure names the file."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.entry.cli.commands import COMMANDS
from mainspring.kernel.failpoints import NAMES
from mainspring.project.schema import project_schema

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "mainspring"
TEMPLATES = SOURCE / "project" / "templates"
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "misc"}
MAX_LINES = 300
MAX_PACKAGE_LINES = 54_000
_ADDRESS = re.compile(rb"(?:https?|ssh|git|ftp)://[^\s\"'<>)]+")
_INDEX = re.compile(rb"pypi|simple/?$|artifactory|nexus|index-url|find-links")
_MACHINE = re.compile(rb"/(?:root|home)/[a-z.]|/tmp/[a-z]+/[a-z]")
_MOCKS = re.compile(r"unittest\.mock|\bMagicMock\b|\bmocker\b|\bMock\(|from mock ")


def sources() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if not path.is_relative_to(TEMPLATES)]


def committed() -> Iterator[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git work tree: nothing is committed here")
    for name in done.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            yield ROOT / name


def listed(found: list[str]) -> str:
    return "\n".join(found)


def test_files_have_at_most_300_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    long = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > MAX_LINES]
    assert not long, listed(long)
    assert sum(lengths.values()) < MAX_PACKAGE_LINES


def test_nothing_is_called_by_a_name_that_says_nothing() -> None:
    paths = [path for path in [*sources(), *(ROOT / "tests").rglob("*.py")] if "__pycache__" not in path.parts]
    bad = [str(p.relative_to(ROOT)) for p in paths if FORBIDDEN & {p.stem, *p.relative_to(ROOT).parts}]
    assert not bad, listed(bad)
    named = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.lower().endswith(("manager", "helper", "utils", "base"))
    ]
    assert not named, listed(named)


def test_no_unfinished_places() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if marks.search(line)
    ]
    assert not found, listed(found)


def test_input_is_not_checked_by_assert() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert not found, listed(found)


def test_every_room_explains_itself() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCE.glob("*/__init__.py")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, listed(silent)


def test_ports_ask_at_most_five_questions() -> None:
    wide = []
    for path in [*SOURCE.glob("*/ports.py"), SOURCE / "kernel" / "stores.py", SOURCE / "kernel" / "events.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(getattr(b, "id", "") == "Protocol" for b in node.bases):
                verbs = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
                if len(verbs) > 5:
                    wide.append(f"{path.relative_to(ROOT)}: {node.name} has {len(verbs)} verbs")
    assert not wide, listed(wide)


def test_unit_tests_use_no_mocks() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests" / "unit").rglob("*.py")
        if _MOCKS.search(path.read_text(encoding="utf-8"))
    ]
    assert not found, listed(found)


def test_every_failpoint_is_hit_somewhere() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources() if path.name != "failpoints.py")
    missing = [name for name in NAMES if f'hit("{name}")' not in text]
    assert not missing, listed(missing)
    unknown = sorted(set(re.findall(r'\bhit\("([^"]+)"\)', text)) - set(NAMES))
    assert not unknown, listed(unknown)


def test_generated_pages_are_current() -> None:
    """Error codes, commands and settings: the pages are written from the code (make docs)."""
    done = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_every_command_and_setting_is_documented() -> None:
    commands = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## mainspring {name}\n" not in commands] == []
    page = (ROOT / "docs" / "project-file.md").read_text(encoding="utf-8")
    schema = project_schema()
    keys = {key for section in (schema, *schema["$defs"].values()) for key in section.get("properties", {})}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


def test_locks_name_no_index_host_or_path() -> None:
    for path in (ROOT / "requirements").glob("*.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path.name
        assert not re.search(r"^(--|-|/|\.)", text, re.MULTILINE), path.name
        pins = re.findall(r"^[a-z0-9][^ ]*", text, re.MULTILINE)
        assert pins
        assert all("==" in pin for pin in pins), path.name
        assert text.count("--hash=sha256:") >= len(pins), path.name


def test_no_committed_file_names_an_index_or_a_path_of_a_machine() -> None:
    found = []
    for path in committed():
        if path == Path(__file__) or path.suffix in (".png", ".parquet", ".onnx", ".lock"):
            continue
        data = path.read_bytes()
        found += [f"{path.relative_to(ROOT)}: {m.decode()}" for m in _ADDRESS.findall(data) if _INDEX.search(m)]
        found += [f"{path.relative_to(ROOT)}: {m.decode()}" for m in _MACHINE.findall(data)]
    assert not found, listed(found)


def test_every_decision_has_its_four_parts_and_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    index = (folder / "README.md").read_text(encoding="utf-8")
    for number, path in enumerate(records, start=1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:04d}-"), path.name
        assert path.name in index
        for part in ("**Context.**", "**Choice.**", "**Cost.**", "**To undo.**"):
            assert part in text, f"{path.name}: {part}"
