"""Open the one database that holds the ledger and the version numbers.

SQLite runs with a rollback journal and synchronous=FULL, never in WAL mode: SQLite 3.7.0 to 3.51.2 can corrupt a
WAL database when a write and a checkpoint meet (sqlite.org/wal.html, "the WAL-reset bug"). Writers begin IMMEDIATE,
so a transaction that will write never has to be upgraded, and wait for each other instead of failing.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    select,
)
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from mainspring.kernel.errors import Damaged, InvalidValue, MainspringError
from mainspring.kernel.files import make_private

DATABASE_SCHEMA = 1
BUSY_S = 30.0
_SQLITE_HEADER = b"SQLite format 3\x00"
_WHOLE_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()
schema_table = Table("mainspring_schema", metadata, Column("id", Integer, primary_key=True), Column("version", Integer))
events_table = Table(
    "events", metadata,
    Column("seq", _WHOLE_NUMBER, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("run", Text, nullable=False, index=True),
    Column("cause", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("schema", Integer, nullable=False),
)  # fmt: skip
versions_table = Table(
    "versions", metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    UniqueConstraint("model", "digest"),
)  # fmt: skip


class NewerSchema(MainspringError):
    """Stored data was written by a newer mainspring."""

    code = "schema.newer"


class StoreBusy(MainspringError):
    """The database stayed locked or unreachable until the deadline; nothing was changed."""

    code = "store.busy"
    exit_code = 75


def open_database(url: str, *, durable: bool = True) -> Engine:
    """Return an engine on a database whose tables exist and whose schema is ours; connections are pooled.

    durable: False lets SQLite leave flushing to the system. Then a kill still loses nothing, a power cut may.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidValue("the ledger's address cannot be read", fix="sqlite:////folder/ledger.db") from error
    if parsed.get_backend_name() == "sqlite":
        path = _sqlite_path(parsed)
        _make_sqlite(path)
        engine = _sqlite_engine(path, durable=durable)
    else:
        drivername = "postgresql+psycopg" if parsed.drivername == "postgresql" else parsed.drivername
        engine = create_engine(parsed.set(drivername=drivername), pool_size=4, max_overflow=60, pool_pre_ping=True)
        _make_tables(engine)
    _check_schema(engine)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection in one write transaction; it commits at the end, or nothing happened."""
    with translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection for one consistent SELECT."""
    with translated(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn a driver's errors into ours. `IntegrityError` passes: it means that another writer was first."""
    where = engine.url.database or engine.url.host or "the database"
    try:
        yield
    except IntegrityError:
        raise
    except OperationalError as error:
        if "malformed" in str(error.orig) or "disk image" in str(error.orig):
            raise damaged(where) from error
        raise StoreBusy(
            f"the database {where} is locked or unreachable: {str(error.orig).splitlines()[0][:120]}",
            fix="wait for the other command to end, then run this one again",
        ) from error
    except DatabaseError as error:
        raise damaged(where) from error


def damaged(where: str) -> Damaged:
    """Return the error of a database whose bytes are not a database of ours."""
    return Damaged(
        f"{where} is not a whole mainspring ledger",
        fix="restore it from a backup; a deleted ledger is begun anew, and `mainspring audit verify` shows the gap",
    )


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Tell whether a SQLite of this version is free of the WAL-reset bug."""
    return version < (3, 7, 0) or version >= (3, 51, 3) or (version[:2] == (3, 44) and version >= (3, 44, 6)) or (
        version[:2] == (3, 50) and version >= (3, 50, 7)
    )  # fmt: skip


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise InvalidValue("a ledger needs a file", fix="sqlite:////folder/ledger.db")
    return Path(unquote(url.database))


def _make_sqlite(path: Path) -> None:
    """Make a complete database and put it in place in one step, so that an empty file always means damage."""
    if path.exists():
        with path.open("rb") as stream:
            if stream.read(len(_SQLITE_HEADER)) != _SQLITE_HEADER:
                raise damaged(str(path))
        return
    make_private(path.parent)
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        engine = _sqlite_engine(beside)
        _make_tables(engine)
        engine.dispose()
        _link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Give `target` the file's name unless another process was first."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        if not target.exists():
            source.rename(target)


def _sqlite_engine(path: Path, *, durable: bool = True) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
        pool_size=4,
        max_overflow=60,
    )
    event.listen(engine, "connect", _prepare if durable else _prepare_unflushed)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        mode = cursor.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        cursor.execute("PRAGMA synchronous=FULL")
    finally:
        cursor.close()
    if mode != "delete" and not wal_is_safe(sqlite3.sqlite_version_info):
        raise StoreBusy(f"another program keeps the ledger in journal mode {mode!r}", fix="close it, then try again")


def _prepare_unflushed(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    _prepare(connection, record)
    connection.execute("PRAGMA synchronous=OFF").close()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _make_tables(engine: Engine) -> None:
    try:
        with translated(engine), engine.begin() as connection:
            metadata.create_all(connection)
            if connection.execute(select(schema_table.c.version)).scalar() is None:
                connection.execute(schema_table.insert().values(id=1, version=DATABASE_SCHEMA))
    except DBAPIError:
        # another process made them between our look and our write
        with translated(engine), engine.connect() as connection:
            connection.execute(select(schema_table.c.version)).scalar()


def _check_schema(engine: Engine) -> None:
    with reading(engine) as connection:
        try:
            version = connection.execute(select(schema_table.c.version)).scalar()
        except DBAPIError as error:
            raise damaged(engine.url.database or "the database") from error
    if version is None:
        raise damaged(engine.url.database or "the database")
    if version > DATABASE_SCHEMA:
        raise NewerSchema(
            f"the ledger has schema {version}; this mainspring reads up to {DATABASE_SCHEMA}", fix="upgrade mainspring"
        )
