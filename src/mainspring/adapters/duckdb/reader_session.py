"""A DuckDB connection that keeps to itself: bounded memory, private scratch folder, no downloads, no other files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

Connection = duckdb.DuckDBPyConnection
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much DuckDB may use, such as `1GB`. memory: in memory. spill: on disk, in the scratch folder."""

    memory: str
    spill: str


@contextmanager
def session(source: Path, room: Room, *, threads: int) -> Iterator[tuple[Connection, Path]]:
    """Yield (connection, scratch folder); both end with the block.

    The connection may read `source` and use the scratch folder, nothing else. Times are UTC.
    """
    with TemporaryDirectory(prefix="mainspring-") as folder:
        scratch = Path(folder)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": room.memory,
            "max_temp_directory_size": room.spill,
            "threads": threads,
            "temp_directory": str(scratch / "spill"),
            "preserve_insertion_order": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"SET allowed_directories = [{text(scratch)}]")
            connection.execute(f"SET allowed_paths = [{text(source)}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection, scratch


def name(identifier: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: object) -> str:
    """Return a quoted SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def row(connection: Connection, query: str) -> tuple[Scalar, ...]:
    """Return the first row of a query's answer."""
    found = connection.execute(query).fetchone()
    return tuple(found) if found else ()
