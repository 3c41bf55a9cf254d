"""One live server for all tests with real clients."""

from collections.abc import Iterator

import pytest
from tests.clients.live import Live, served


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with served(tmp_path_factory.mktemp("live") / "project") as found:
        yield found
