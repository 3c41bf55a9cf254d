"""The lists of real tools: pinned, and naming no index, host or file."""

import re
import subprocess

import pytest
from tests.tools import ROOT

LISTS = ROOT / "requirements" / "tools"
INSTALLER = ROOT / ".ci" / "tools"


def test_every_tool_is_pinned_by_name() -> None:
    lists = sorted(LISTS.iterdir())
    assert lists
    for path in lists:
        pin = r"[\w.-]+(\[[\w,]+\])?==[\w.]+" if path.suffix == ".txt" else r"(@[\w-]+/)?[\w-]+@[\w.]+"
        lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
        assert lines, path.name
        assert [line for line in lines if not re.fullmatch(pin, line)] == [], path.name


def test_what_ci_installs_is_known() -> None:
    found = re.search(r"in_ci=\((.*?)\)", INSTALLER.read_text("utf-8"), re.DOTALL)
    debian = re.search(r"declare -A debian=\((.*?)\n\)", INSTALLER.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert debian is not None
    known = {path.stem for path in LISTS.iterdir()} | set(re.findall(r"\[([\w-]+)\]=", debian[1])) | {"python-image"}
    assert [name for name in found[1].split() if name not in known] == []


@pytest.mark.tools
def test_an_unknown_tool_is_refused_by_name() -> None:
    done = subprocess.run([str(INSTALLER), "no-such-tool"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no-such-tool" in done.stderr
    assert "tritonclient" in done.stderr
