"""Every version table keeps the promises of `deliver.ports.Versions`."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mainspring.adapters.memory.registry import Versions as MemoryVersions
from mainspring.adapters.sql.versions import Versions as SqlVersions
from mainspring.deliver.ports import Versions
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import InvalidValue, NotFound


def _postgres(url: str) -> Versions:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS events, versions, mainspring_schema"))
    engine.dispose()
    return SqlVersions(url)


TABLES: dict[str, Callable[[Path, Callable[[], str]], Versions]] = {
    "memory": lambda _, __: MemoryVersions(),
    "sqlite": lambda folder, _: SqlVersions(f"sqlite:///{folder}/ledger.db"),
    "postgres": lambda _, url: _postgres(url()),
}


@pytest.fixture(params=list(TABLES))
def versions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Versions]:
    made = TABLES[request.param](tmp_path, lambda: str(request.getfixturevalue("postgres_url")))
    yield made
    if isinstance(made, SqlVersions):
        made.close()


def test_numbers_are_dense_and_a_digest_keeps_its_number(versions: Versions) -> None:
    digests = [digest_of(number) for number in range(3)]
    assert [versions.assign("m", digest) for digest in [*digests, *digests]] == [1, 2, 3, 1, 2, 3]
    assert versions.list("m") == list(enumerate(digests, start=1))
    assert versions.get("m", 2) == digests[1]


def test_models_are_numbered_apart(versions: Versions) -> None:
    assert versions.assign("a", digest_of(1)) == 1
    assert versions.assign("b", digest_of(1)) == 1
    assert versions.list("c") == []


@pytest.mark.parametrize("version", [0, -1, 2])
def test_an_unknown_version_is_not_found(versions: Versions, version: int) -> None:
    versions.assign("m", digest_of(1))
    with pytest.raises(NotFound):
        versions.get("m", version)


def test_what_is_no_digest_gets_no_number(versions: Versions) -> None:
    with pytest.raises(InvalidValue):
        versions.assign("m", "latest")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_fifty_writers_get_dense_unique_numbers(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    first = TABLES[kind](tmp_path, lambda: str(request.getfixturevalue("postgres_url")))
    assert isinstance(first, SqlVersions)
    second = SqlVersions(str(first._engine.url.render_as_string(hide_password=False)))
    gate = threading.Barrier(10)

    def assign(number: int) -> int:
        if number < 10:
            gate.wait()
        return (first, second)[number % 2].assign("m", digest_of(number % 25))

    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(assign, range(50)))
    assert found[:25] == found[25:]
    assert sorted(set(found)) == list(range(1, 26))
    first.close()
    second.close()
