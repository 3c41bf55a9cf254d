"""For every test: what hypothesis judges, and what a run in CI may skip."""

import os

import pytest
from hypothesis import settings

# hypothesis judges answers, not how long a busy machine took for one of them; `make test` looks at fewer examples
settings.register_profile("ours", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "100")))
settings.load_profile("ours")

# the machine lets nobody else's user start one; the extra `torch` is no part of what CI installs
ALLOWED_IN_CI = ("PostgreSQL cannot run here", "PyTorch is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped, and why."""
    found = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    terminalreporter.write_line(f"skipped: {len(found)}")
    for reason in sorted(set(found)):
        terminalreporter.write_line(f"  {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that is skipped for a reason that is not allowed is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "CI" not in os.environ or reporter is None or hasattr(session.config, "workerinput"):
        return
    found = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    if any(not any(allowed in reason for allowed in ALLOWED_IN_CI) for reason in found):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
