"""Read CSV and Parquet into canonical Parquet: the same bytes from the same data, however often and wherever.

A file is checked, loaded in bounded memory, typed as a whole, judged, sorted by (event time, key) and written a month
a file. Nothing enters the content store before every promise holds.
"""

# ruff: noqa: S608 - names and literals are quoted by reader_session

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import duckdb

from mainspring.adapters.duckdb import reader_files as files
from mainspring.adapters.duckdb.reader_checks import ROW, identity_faults, promise_faults, reading_faults
from mainspring.adapters.duckdb.reader_session import Connection, Room, name, row, session, text
from mainspring.adapters.duckdb.reader_types import Planned, plan_columns
from mainspring.data.expectations import DataRefused, Expectations, Finding, SourceChanged, judge, refuse, shown
from mainspring.data.snapshots import Bound, ColumnInfo, Partition, SourceTable, read_spec
from mainspring.data.views import Source
from mainspring.kernel.stores import Store

ROW_GROUP = 122_880
MAX_ROW_GROUPS = 100_000
MAX_ROWS = 500_000_000
_PER_QUERY = 200
_CSV_FAULTS = (
    (r"Line: (\d+)[\s\S]*Expected Number of Columns: (\d+) Found: (\d+)", "line {0} has {2} values, not {1}",
     "give every line as many values as the header has names; quote values that hold commas"),
    (r"Line: (\d+)[\s\S]*unterminated quote", "line {0} opens a quote that is never closed",
     "close or remove the quote"),
    (r"Line: (\d+)[\s\S]*Invalid unicode", "line {0} is not UTF-8", "save the file as UTF-8"),
    (r"Line: (\d+)[\s\S]*[Mm]aximum line size", "line {0} is longer than 1 MB",
     "shorten the field; is a quote left open?"),
    (r"invalid state|new_line", "the file is not well-formed CSV (mixed line ends, or quotes inside values)",
     'end all lines alike, and write a quote inside a value as ""'),
)  # fmt: skip


class SourceReader:
    """Reads sources below `root` with DuckDB.

    cache: folder that remembers fingerprints of files at rest, or None. memory: DuckDB's limit; more is spilled to a
    private scratch folder, up to `spill`: a small file may unpack to more than any disk holds.
    """

    def __init__(
        self, root: Path, *, cache: Path | None = None, memory: str = "1GB", threads: int = 2, spill: str = "64GB"
    ) -> None:
        self._root, self._cache = root, cache
        self._room, self._threads = Room(memory=memory, spill=spill), threads

    def fingerprint(self, source: Source) -> str:
        """Return the digest of the file's bytes; `SourceMissing` if there is none."""
        return files.fingerprint(files.locate(self._root, source), self._cache)

    def ingest(
        self, source: Source, expectations: Expectations, store: Store, *, one_time_a_key: bool = False
    ) -> SourceTable:
        """Read, judge and store a source; see `data.ports.SourceReader`."""
        path = files.locate(self._root, source)
        before = files.state(path)
        fingerprint = files.fingerprint(path, self._cache)
        with session(path, self._room, threads=self._threads) as (connection, scratch):
            try:
                planned = _load(connection, source, path, expectations)
                _judge(connection, source, expectations, planned, one_time_a_key=one_time_a_key)
                columns = _statistics(connection, planned)
                written = _write(connection, source, planned, scratch)
            except duckdb.Error as error:
                if files.state(path) != before:
                    raise _changed(source) from error
                raise _translated(source, path, error) from error
            if files.state(path) != before:
                raise _changed(source)
            partitions = tuple(
                Partition(digest=store.put_file(file), rows=rows, start=start, end=end)
                for file, rows, start, end in written
            )
        return SourceTable(
            name=source.name, fingerprint=fingerprint, spec=read_spec(source), columns=columns, partitions=partitions
        )


def _load(connection: Connection, source: Source, path: Path, rules: Expectations) -> list[Planned]:
    """Fill table `typed` with canonical values and row numbers; refuse what cannot be read."""
    is_csv = path.suffix.lower() == ".csv"
    (_load_csv if is_csv else _load_parquet)(connection, source, path)
    names = [str(item[0]) for item in connection.execute("DESCRIBE raw").fetchall()]
    refuse(list(_missing(source, rules, names)))
    planned = plan_columns(connection, source, rules, infer=is_csv)
    refuse(reading_faults(connection, source, planned))
    cells = ", ".join(f"CAST({plan.sql} AS {plan.storage}) AS {name(plan.name)}" for plan in planned)
    order = dict.fromkeys([source.event_time, source.key, *(column for column, _ in source.known)])
    sort = ", ".join(f"{name(column)} NULLS FIRST" for column in order if column)
    connection.execute(f"CREATE TABLE typed AS SELECT {cells}, rowid + 1 AS {ROW} FROM raw ORDER BY {sort}")
    connection.execute("DROP TABLE raw")
    return planned


def _load_csv(connection: Connection, source: Source, path: Path) -> None:
    names = files.check_csv(source, path)
    files.check_names(source, names)
    columns = ", ".join(f"{text(column)}: 'VARCHAR'" for column in names)
    connection.execute(
        f"CREATE TABLE raw AS SELECT * FROM read_csv({text(path)}, auto_detect = false, header = true,"
        f" columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"', nullstr = '', strict_mode = true,"
        f" max_line_size = {files.MAX_LINE})"
    )


def _load_parquet(connection: Connection, source: Source, path: Path) -> None:
    files.check_parquet(source, path)
    groups, promised = row(
        connection, f"SELECT sum(num_row_groups), sum(num_rows) FROM parquet_file_metadata({text(path)})"
    )
    if int(groups or 0) > MAX_ROW_GROUPS:
        raise files.refused(
            source, f"{int(groups or 0):,} row groups", "write the file with row groups of 100,000 rows"
        )
    if int(promised or 0) > MAX_ROWS:
        raise files.refused(
            source, f"its footer promises {int(promised or 0):,} rows", f"split it: at most {MAX_ROWS:,} rows are read"
        )
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({text(path)})").fetchall()
    files.check_names(source, _original_names(connection, path) or [str(item[0]) for item in described])
    connection.execute(f"CREATE TABLE raw AS SELECT * FROM read_parquet({text(path)})")
    rows = row(connection, "SELECT count(*) FROM raw")[0]
    if rows != promised:
        raise files.refused(source, f"{rows} rows, but its footer says {promised}", "write the file again")


def _original_names(connection: Connection, path: Path) -> list[str]:
    """Return the top-level names as the file has them: DuckDB renames a second column of one name."""
    schema = connection.execute(f"SELECT name, num_children FROM parquet_schema({text(path)})").fetchall()
    names, skip = [], 0
    for column, children in schema[1:]:
        if skip:
            skip += int(children or 0) - 1
            continue
        names.append(str(column))
        skip = int(children or 0)
    return names


def _missing(source: Source, rules: Expectations, names: list[str]) -> Iterable[Finding]:
    """Yield a finding for each column that the project file names and the file lacks."""
    listed = [column for _, columns in source.known for column in columns or ()]
    needed = [source.key, source.event_time, *(column for column, _ in source.known), *listed]
    for column in dict.fromkeys([*needed, *(rule.column for rule in rules.columns)]):
        if column and column not in names:
            near = get_close_matches(column, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its columns are {shown(', '.join(names))}"
            yield Finding(source=source.name, column=column, what=f"{source.uri} has no such column", fix=hint)
    if ROW in names:
        yield Finding(source=source.name, column=ROW, what="this name is ours", fix="rename the column")


def _judge(
    connection: Connection, source: Source, rules: Expectations, planned: list[Planned], *, one_time_a_key: bool
) -> None:
    rows = int(row(connection, "SELECT count(*) FROM typed")[0] or 0)
    if rows < max(1, rules.min_rows):
        what = f"{rows:,} rows, expected at least {max(1, rules.min_rows):,}" if rows else f"{source.uri} has no rows"
        raise files.refused(source, what, "was the export cut short? else lower `min_rows`")
    findings = identity_faults(connection, source, one_time_a_key=one_time_a_key)
    refuse(findings + judge(source.name, promise_faults(connection, source, rules, planned)))


def _statistics(connection: Connection, planned: list[Planned]) -> tuple[ColumnInfo, ...]:
    found = []
    for start in range(0, len(planned), _PER_QUERY):
        chunk = planned[start : start + _PER_QUERY]
        parts = [part for plan in chunk for part in _measures(plan)]
        cells = row(connection, f"SELECT {', '.join(parts)} FROM typed")
        for place, plan in enumerate(chunk):
            nulls, low, high, distinct = cells[place * 4 : place * 4 + 4]
            bounds: list[Bound] = [
                float(end) if plan.type == "number" and end is not None else end for end in (low, high)
            ]
            found.append(
                ColumnInfo(
                    name=plan.name,
                    type=plan.type,
                    nulls=int(nulls or 0),
                    low=bounds[0],
                    high=bounds[1],
                    distinct=int(distinct or 0),
                )
            )
    return tuple(found)


def _measures(plan: Planned) -> list[str]:
    cell = name(plan.name)
    ends = {"time": "epoch_us({})", "string": "left({}, 100)"}.get(plan.type, "{}")
    low, high = (ends.format(f"{end}({cell})") for end in ("min", "max"))
    return [f"count(*) - count({cell})", low, high, f"approx_count_distinct({cell})"]


def _write(
    connection: Connection, source: Source, planned: list[Planned], scratch: Path
) -> list[tuple[Path, int, int, int]]:
    """Write one Parquet file a month of event time; return (file, rows, start, end) of each."""
    columns = ", ".join(name(plan.name) for plan in planned)
    if not source.event_time:
        rows = int(row(connection, "SELECT count(*) FROM typed")[0] or 0)
        return [(_copy(connection, f"SELECT {columns} FROM typed", scratch / "always.parquet"), rows, 0, 0)]
    moment = name(source.event_time)
    months = connection.execute(
        f"SELECT m, epoch_us(m), epoch_us(m + INTERVAL 1 MONTH), n FROM (SELECT CAST(date_trunc('month', {moment})"
        " AS TIMESTAMP) AS m, count(*) AS n FROM typed GROUP BY 1) ORDER BY 1"
    ).fetchall()
    written = []
    for month, start, end, rows in months:
        within = f"{moment} >= make_timestamp({start}) AND {moment} < make_timestamp({end})"
        query = f"SELECT {columns} FROM typed WHERE {within}"
        written.append((_copy(connection, query, scratch / f"{month:%Y-%m}.parquet"), int(rows), int(start), int(end)))
    return written


def _copy(connection: Connection, query: str, path: Path) -> Path:
    connection.execute(f"COPY ({query}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})")
    return path


def _changed(source: Source) -> SourceChanged:
    return SourceChanged(
        f"{source.name}: {source.uri} changed while it was read", fix="wait until its writer is done, then try again"
    )


def _translated(source: Source, path: Path, error: duckdb.Error) -> DataRefused:
    """Say what DuckDB found wrong in our words, without paths of this machine."""
    told = str(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return files.refused(
            source, "it unpacks to more than memory and scratch space may hold", "split the file; is it a real table?"
        )
    if path.suffix.lower() == ".csv":
        for pattern, what, fix in _CSV_FAULTS:
            if found := re.search(pattern, told):
                line = int(found[1]) - 1 if found.groups() else 0
                return files.refused(source, what.format(*found.groups()), fix, row=max(0, line))
    first = told.replace(str(path), source.uri).splitlines()[0]
    return files.refused(source, f"{source.uri} cannot be read: {shown(first)}", "write the file again")
