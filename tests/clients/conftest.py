"""Live servers for all tests with real clients: one that wants an API key, and one that does not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.live import Live, made, served


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("live") / "project")


@pytest.fixture(scope="session")
def live(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    copied = shutil.copytree(project, tmp_path_factory.mktemp("closed") / "project", symlinks=True)
    with served(copied, keys=True) as found:
        yield found


@pytest.fixture(scope="session")
def open_live(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    copied = shutil.copytree(project, tmp_path_factory.mktemp("open") / "project", symlinks=True)
    with served(copied, keys=False) as found:
        yield found
