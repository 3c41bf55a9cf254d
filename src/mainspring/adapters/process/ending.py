"""How a process of ours ends: it sees the end of its input, and is killed if that does not do."""

import subprocess
from contextlib import suppress
from typing import Any


def ended(process: "subprocess.Popen[Any]", patience_s: float) -> int:
    """End a process that reads its standard input; return its status. patience_s: seconds that it has for it."""
    if process.stdin:
        with suppress(OSError):  # it has gone already
            process.stdin.close()
    try:
        process.wait(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
    return int(process.returncode)
