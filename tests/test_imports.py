"""The command line feels immediate: what `--help` imports, and how long it takes over bare Python."""

import os
import subprocess
import sys
import time

HEAVY = {"pandas", "sklearn", "mlflow", "duckdb", "numpy", "onnxruntime", "sqlalchemy", "pydantic", "starlette", "rich"}
MAY_TAKE_S = 0.150
_TRIES = 7


def _cost(*arguments: str) -> float:
    """Return the wall or the processor seconds of one run, whichever is less: a loaded machine is not our doing."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "COV_CORE_"))}
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=quiet)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return min(time.perf_counter() - start, used or float("inf"))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mainspring.entry.cli.group import run; assert run(['--help']) == 0;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY.isdisjoint(done.stderr.split())


def test_help_costs_at_most_150_ms_more_than_python_itself() -> None:
    """The two run in turn, so that a slow moment of the machine falls on both; coverage does not trace them."""
    pairs = [(_cost("-m", "mainspring", "--help"), _cost("-c", "pass")) for _ in range(_TRIES)]
    help_s, bare_s = (min(costs) for costs in zip(*pairs, strict=True))
    assert help_s - bare_s <= MAY_TAKE_S, f"--help took {help_s:.3f} s, bare Python {bare_s:.3f} s"


def test_the_server_imports_no_training_stack() -> None:
    code = (
        "import sys, mainspring.entry.inference.http, mainspring.serve.plane;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {"pandas", "sklearn", "mlflow", "duckdb", "skl2onnx", "pydantic"}.isdisjoint(done.stdout.split())
