"""The comparison with peers can be run: our side of it, quickly, with nothing left out."""

import subprocess
import sys

import pytest
from tests import tools


@pytest.mark.tools
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it pins processes to cores")
def test_our_side_of_the_comparison_measures_every_work() -> None:
    tools.command("wrk")
    tools.command("h2load")
    argv = [sys.executable, "benchmarks/bench_serving.py", "--peers", "none", "--rounds", "1", "--quick"]
    done = subprocess.run(argv, cwd=tools.ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "NOT MEASURED" not in done.stdout
    for work in ("gb_1", "gb_100", "gb_100_binary", "rf_1", "grpc_1", "gb_1_beside", "mainspring-bare"):
        assert f" {work} " in done.stdout, done.stdout
