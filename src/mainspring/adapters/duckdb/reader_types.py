"""Which type each column has and the SQL that makes its canonical value.

Text is judged as a whole, never by a sample: a column is numbers if every value is one. Keys are always strings.
"""

# ruff: noqa: S608 - names and literals are quoted by reader_session

import re
from dataclasses import dataclass

from mainspring.adapters.duckdb.reader_session import Connection, name, row, text
from mainspring.data.expectations import Expectations
from mainspring.data.views import ColumnType, Source

NULL_WORDS = ("NA", "N/A", "NaN", "nan", "null", "NULL")
MOSTLY = 0.9
SAFE = 9_007_199_254_740_992  # 2**53: from here on doubles skip whole numbers
_WHOLE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
    "UHUGEINT",
)
_ZONED = r":[0-9]{2}(\.[0-9]+)? ?(Z|z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)$"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_COMMAS = "[+-]?[0-9]+(,[0-9]{3})*,[0-9]+"
_PER_QUERY = 150
_TYPES: dict[str, ColumnType] = {"string": "string", "time": "time", "bool": "bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """How one column is read.

    storage: its SQL type in canonical Parquet. sql: the value, over table `raw`. present: SQL that is true where the
    source has a value, so a null `sql` there is a value not of this type. local: SQL of a naive time (before `zone`).
    naive, zoned: how many times lack or carry an offset. like: what most other values are, where a few are not.
    commas: how many are numbers with commas inside, where nearly all are.
    """

    name: str
    type: ColumnType
    storage: str
    sql: str
    present: str
    local: str = ""
    naive: int = 0
    zoned: int = 0
    like: str = ""
    commas: int = 0
    float_key: bool = False
    unreadable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What the values of a text column look like: how many are present, and how many of these would be what."""

    present: int
    words: int
    numbers: int
    padded: int
    times: int
    zoned: int
    dates: int
    bools: int
    whole: int
    commas: int


def plan_columns(connection: Connection, source: Source, rules: Expectations, *, infer: bool) -> list[Planned]:
    """Return how each column of table `raw` is read. infer: text may hold numbers and times (CSV)."""
    physical = {str(item[0]): str(item[1]) for item in connection.execute("DESCRIBE raw").fetchall()}
    wanted = {column: _wanted(source, rules, column) for column in physical}
    texts = [
        column for column, kind in physical.items()
        if kind == "VARCHAR" and wanted[column] != "string" and (infer or wanted[column])
    ]  # fmt: skip
    looks = _look(connection, texts)
    planned = []
    for column, kind in physical.items():
        if column in looks:
            planned.append(_from_text(source, column, wanted[column], looks[column]))
        else:
            planned.append(_from_typed(source, column, kind, wanted[column]))
    return sorted(planned, key=lambda plan: plan.name)


def _wanted(source: Source, rules: Expectations, column: str) -> str:
    """Return the declared type in our four words, "" if none is; keys are strings and roles are times."""
    if column == source.key:
        return "string"
    if column == source.event_time or column in {time_column for time_column, _ in source.known}:
        return "time"
    declared = rules.rule(column).type
    return "" if not declared else str(_TYPES.get(declared, "number"))


def _look(connection: Connection, columns: list[str]) -> dict[str, Text]:
    looks = {}
    words = ", ".join(map(text, NULL_WORDS))
    for start in range(0, len(columns), _PER_QUERY):
        chunk = columns[start : start + _PER_QUERY]
        parts = []
        for column in chunk:
            cell = name(column)
            parts += [
                f"count({cell})",
                f"count(*) FILTER ({cell} IN ({words}))",
                f"count(TRY_CAST({cell} AS DOUBLE)) FILTER ({cell} NOT IN ({words}) AND NOT contains({cell}, '_'))",
                f"count(*) FILTER (regexp_matches({cell}, '^[+-]?0[0-9]'))",
                f"count(TRY_CAST({cell} AS TIMESTAMP)) FILTER ({cell} NOT IN ({words}))",
                f"count(*) FILTER (contains({cell}, ':') AND regexp_matches({cell}, '{_ZONED}'))",
                f"count(*) FILTER (regexp_full_match({cell}, '{_DATE}'))",
                f"count(*) FILTER (lower({cell}) IN ('true', 'false'))",
                f"count(*) FILTER (regexp_full_match({cell}, '[+-]?[0-9]+'))",
                f"count(*) FILTER (contains({cell}, ',') AND regexp_full_match({cell}, '{_COMMAS}'))",
            ]
        counts = [int(value or 0) for value in row(connection, f"SELECT {', '.join(parts)} FROM raw")]
        for place, column in enumerate(chunk):
            width = len(Text.__slots__)
            own = counts[place * width : (place + 1) * width]
            looks[column] = Text(**dict(zip(Text.__slots__, own, strict=True)))
    return looks


def _from_text(source: Source, column: str, wanted: str, seen: Text) -> Planned:
    kind, like = (wanted, "") if wanted else _guess(seen)
    cell = name(column)
    value = f"CASE WHEN {cell} NOT IN ({', '.join(map(text, NULL_WORDS))}) THEN {cell} END"
    present = f"{value} IS NOT NULL"
    if kind == "number":
        storage = "BIGINT" if seen.whole == seen.present - seen.words else "DOUBLE"
        return Planned(
            name=column, type="number", storage=storage, sql=_number(value, storage), present=present, like=like
        )
    if kind == "time":
        local = f"TRY_CAST({value} AS TIMESTAMP)"
        naive = max(0, seen.times - seen.zoned - seen.dates)
        shift = bool(source.zone) and not seen.zoned
        moment = f"timezone({text(source.zone)}, {local})" if shift else f"TRY_CAST({value} AS TIMESTAMPTZ)"
        return Planned(
            name=column, type="time", storage="TIMESTAMP", sql=f"timezone('UTC', {moment})", present=present,
            local=local if shift else "", naive=naive, zoned=seen.zoned, like=like,
        )  # fmt: skip
    if kind == "bool":
        return Planned(
            name=column, type="bool", storage="BOOLEAN", sql=f"TRY_CAST({value} AS BOOLEAN)", present=present
        )
    commas = seen.commas if not wanted and seen.commas > MOSTLY * (seen.present - seen.words) else 0
    here = f"{cell} IS NOT NULL"
    return Planned(name=column, type="string", storage="VARCHAR", sql=cell, present=here, commas=commas)


def _guess(seen: Text) -> tuple[ColumnType, str]:
    """Return the type of undeclared text, and what most values are if a few are not."""
    values = seen.present - seen.words
    if not values or seen.padded:
        return "string", ""
    if seen.bools == values:
        return "bool", ""
    if seen.numbers > MOSTLY * values:
        return "number", "numbers"
    if seen.times > MOSTLY * values:
        return "time", "times"
    return "string", ""


def _from_typed(source: Source, column: str, kind: str, wanted: str) -> Planned:
    cell = name(column)
    here = f"{cell} IS NOT NULL"
    base = re.sub(r"\(.*\)", "", kind)
    if wanted == "string" or kind in ("VARCHAR", "UUID") or base == "ENUM":
        floating = kind in ("FLOAT", "DOUBLE") and column == source.key
        return Planned(
            name=column,
            type="string",
            storage="VARCHAR",
            sql=f"CAST({cell} AS VARCHAR)",
            present=here,
            float_key=floating,
        )
    if kind in _WHOLE:
        return Planned(name=column, type="number", storage="BIGINT", sql=f"TRY_CAST({cell} AS BIGINT)", present=here)
    if kind in ("FLOAT", "DOUBLE") or base == "DECIMAL":
        return Planned(name=column, type="number", storage="DOUBLE", sql=_number(cell, "DOUBLE"), present=here)
    if kind == "BOOLEAN":
        return Planned(name=column, type="bool", storage="BOOLEAN", sql=cell, present=here)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return Planned(
            name=column, type="time", storage="TIMESTAMP", sql=f"timezone('UTC', {cell})", present=here, zoned=1
        )
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return _naive(source, column, kind)
    return Planned(name=column, type="string", storage="VARCHAR", sql="NULL", present="false", unreadable=kind)


def _naive(source: Source, column: str, kind: str) -> Planned:
    local = f"CAST({name(column)} AS TIMESTAMP)"
    moment = f"timezone('UTC', timezone({text(source.zone)}, {local}))" if source.zone else local
    return Planned(
        name=column, type="time", storage="TIMESTAMP", sql=moment, present=f"{name(column)} IS NOT NULL",
        local=local if source.zone else "", naive=int(kind != "DATE"),
    )  # fmt: skip


def _number(value: str, storage: str) -> str:
    """Return SQL of a number: NaN is null, -0.0 is 0.0, and text such as `1_000` is no number."""
    if storage == "BIGINT":
        return f"TRY_CAST({value} AS BIGINT)"
    number = f"TRY_CAST({value} AS DOUBLE)"
    return f"CASE WHEN NOT isnan({number}) THEN {number} + 0.0 END"
