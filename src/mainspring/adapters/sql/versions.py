"""Version numbers in the ledger's database: dense, one a digest, safe with many writers."""

import threading
import time

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from mainspring.adapters.sql.database import BUSY_S, StoreBusy, open_database, reading, versions_table, writing
from mainspring.kernel.digests import checked_digest
from mainspring.kernel.errors import NotFound
from mainspring.kernel.failpoints import hit


class Versions:
    """Gives a model's digests the numbers 1, 2, 3 ..."""

    def __init__(self, url: str) -> None:
        self._engine = open_database(url)
        self._turn = threading.Lock()

    def assign(self, model: str, digest: str) -> int:
        """Return the version of `digest`, a new one on first sight."""
        checked_digest(digest)
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                with self._turn, writing(self._engine) as connection:
                    return _assign(connection, model, digest)
            except IntegrityError as error:
                if time.monotonic() > deadline:
                    raise StoreBusy("other writers were always first", fix="run the command again") from error

    def get(self, model: str, version: int) -> str:
        """Return the digest of a version."""
        table = versions_table.c
        query = select(table.digest).where(table.model == model, table.version == version)
        with reading(self._engine) as connection:
            digest = connection.execute(query).scalar()
        if digest is None:
            raise NotFound(f"{model} has no version {version}", fix="see: mainspring status")
        return str(digest)

    def list(self, model: str) -> list[tuple[int, str]]:
        """Return every (version, digest), lowest first."""
        table = versions_table.c
        query = select(table.version, table.digest).where(table.model == model).order_by(table.version)
        with reading(self._engine) as connection:
            return [(int(row.version), str(row.digest)) for row in connection.execute(query)]

    def close(self) -> None:
        """Give the connections back. A later call opens new ones."""
        self._engine.dispose()


def _assign(connection: Connection, model: str, digest: str) -> int:
    table = versions_table.c
    known = select(table.version).where(table.model == model, table.digest == digest)
    if (version := connection.execute(known).scalar()) is not None:
        return int(version)
    last = connection.execute(select(func.max(table.version)).where(table.model == model)).scalar()
    version = int(last or 0) + 1
    connection.execute(insert(versions_table).values(model=model, version=version, digest=digest))
    hit("version.assign")
    return version
