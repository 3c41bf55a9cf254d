"""Measure in SQL how often each promise is broken and where first; `data.expectations` judges the measurements."""

# ruff: noqa: S608 - names and literals are quoted by reader_session

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mainspring.adapters.duckdb.reader_session import Connection, name, row, text
from mainspring.adapters.duckdb.reader_types import SAFE, Planned
from mainspring.data.expectations import Check, ColumnRule, Expectations, Finding, Violation, shown
from mainspring.data.views import Source

ROW = "__mainspring_row"
MAX_FIELD = 1 << 20
_EARLIEST, _LATEST = "1900-01-01", "2200-01-01"
_PER_QUERY = 100
_SINGULAR = (
    ("1 values are", "1 value is"), ("1 values hold", "1 value holds"), ("1 whole numbers are", "1 whole number is"),
    ("1 times lie", "1 time lies"), ("1 times happen", "1 time happens"), ("1 times do not", "1 time does not"),
    ("1 rows have", "1 row has"), ("1 rows repeat", "1 row repeats"), ("1 keys have", "1 key has"),
)  # fmt: skip
_REPAIR = "correct the value, or declare `type: string` for the column under expectations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How many rows make `condition` true, and which is the first. fault: (what, fix); what may hold {count}."""

    column: str
    condition: str
    value: str
    fault: tuple[str, str] = ("", "")
    rule: tuple[ColumnRule, Check] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The answer: how many rows, and number, key and value of the first (row 0: none)."""

    count: int
    row: int
    key: str
    value: str


def ask(connection: Connection, table: str, place: tuple[str, str], questions: Sequence[Question]) -> list[Seen]:
    """Answer all questions about `table`; place: SQL of (row number, key).

    Counting comes first: turning values into text for every row would cost most of the reading.
    """
    answers: list[Seen] = []
    for start in range(0, len(questions), _PER_QUERY):
        chunk = questions[start : start + _PER_QUERY]
        parts = [f"{call} FILTER ({one.condition})" for one in chunk for call in ("count(*)", f"min({place[0]})")]
        cells = row(connection, f"SELECT {', '.join(parts)} FROM {table}")
        for one, count, first in zip(chunk, cells[::2], cells[1::2], strict=True):
            answers.append(_first(connection, table, place, one, (int(count or 0), int(first or 0))))
    return answers


def _first(
    connection: Connection, table: str, place: tuple[str, str], question: Question, counted: tuple[int, int]
) -> Seen:
    count, first = counted
    if not count:
        return Seen(count=0, row=0, key="", value="")
    value = f"left(CAST({question.value} AS VARCHAR), 200)"
    found = row(connection, f"SELECT CAST({place[1]} AS VARCHAR), {value} FROM {table} WHERE {place[0]} = {first}")
    return Seen(count=count, row=first, key=shown(found[0] or ""), value=shown(found[1] or ""))


def reading_faults(connection: Connection, source: Source, planned: Sequence[Planned]) -> list[Finding]:
    """Return what cannot be read as it stands in `raw`: values of another type, naive times, unsafe numbers."""
    findings = [fault for plan in planned for fault in _whole_column(source, plan)]
    blocked = {finding.column for finding in findings}
    questions = [
        question for plan in planned if plan.name not in blocked for question in _of_values(source, plan)
    ]  # fmt: skip
    seen = ask(connection, "raw", ("(rowid + 1)", name(source.key)), questions)
    return findings + _findings(source, questions, seen)


def promise_faults(
    connection: Connection, source: Source, rules: Expectations, planned: Sequence[Planned]
) -> list[Violation]:
    """Return measurements of every declared rule over table `typed`."""
    kinds = {plan.name: plan for plan in planned}
    rows = int(row(connection, "SELECT count(*) FROM typed")[0] or 0)
    questions = [question for rule in rules.columns for question in _of_rule(rule, kinds[rule.column])]
    violations = []
    for question, seen in zip(questions, ask(connection, "typed", (ROW, name(source.key)), questions), strict=True):
        if question.rule:
            rule, check = question.rule
            violations.append(
                Violation(
                    rule=rule, check=check, count=seen.count, rows=rows, row=seen.row, key=seen.key, value=seen.value
                )
            )
    for rule in rules.columns:
        if rule.unique:
            seen = repeats(connection, [rule.column], source.key)
            violations.append(
                Violation(
                    rule=rule, check="unique", count=seen.count, rows=rows, row=seen.row, key=seen.key, value=seen.value
                )
            )
    return violations


def identity_faults(connection: Connection, source: Source, *, one_time_a_key: bool) -> list[Finding]:
    """Return rows that cannot be told apart, rows without a key or time, and, if asked, keys with two event times."""
    needed = [source.key, source.event_time] if source.event_time else [source.key]
    questions = [
        Question(
            column=column, condition=f"{name(column)} IS NULL", value="NULL",
            fault=("{count} rows have no value here", "every row needs a key and an event time: fill in or drop rows"),
        )
        for column in needed
    ]  # fmt: skip
    findings = _findings(source, questions, ask(connection, "typed", (ROW, name(source.key)), questions))
    columns = list(dict.fromkeys([*needed, *(column for column, _ in source.known)]))
    again = repeats(connection, columns, source.key)
    if again.count:
        what = _told("{count} rows repeat", again.count) + f" another row's {', '.join(columns)}"
        fix = "keep one row each; give a correction its own known_at"
        findings.append(_at(source, source.key, again, what, fix))
    if one_time_a_key and source.event_time:
        findings += _two_times(connection, source)
    return findings


def repeats(connection: Connection, columns: Sequence[str], key: str) -> Seen:
    """Return how many rows of `typed` repeat an earlier row's values in `columns`, none of them null for the first."""
    group = ", ".join(map(name, columns))
    first = name(columns[0])
    found = row(
        connection,
        f"SELECT sum(n - 1), min(again), arg_min(k, again), arg_min(v, again) FROM (SELECT count(*) AS n,"
        f" max({ROW}) AS again, arg_max(CAST({name(key)} AS VARCHAR), {ROW}) AS k,"
        f" any_value(CAST({first} AS VARCHAR)) AS v FROM typed"
        f" WHERE {first} IS NOT NULL GROUP BY {group} HAVING count(*) > 1)",
    )
    count, again, named, value = found
    return Seen(count=int(count or 0), row=int(again or 0), key=shown(named or ""), value=shown(value or ""))


def _two_times(connection: Connection, source: Source) -> list[Finding]:
    key, moment = name(source.key), name(source.event_time)
    found = row(
        connection,
        f"SELECT count(*), min(again), arg_min(k, again) FROM (SELECT {key} AS k, max({ROW}) AS again FROM typed"
        f" GROUP BY {key} HAVING min({moment}) <> max({moment}))",
    )
    seen = Seen(count=int(found[0] or 0), row=int(found[1] or 0), key=shown(found[2] or ""), value="")
    if not seen.count:
        return []
    what = _told("{count} keys have", seen.count) + f" more than one {source.event_time}"
    return [_at(source, source.key, seen, what, "a key is asked about once: make the key name one question")]


def _whole_column(source: Source, plan: Planned) -> Iterable[Finding]:
    """Yield what is wrong with a column whatever its values are."""
    if plan.unreadable:
        yield _column(source, plan, f"values of type {shown(plan.unreadable)} have no place in a plain table",
                      "unnest it, cast it to text or a number, or leave it out")  # fmt: skip
    if plan.float_key:
        yield _column(source, plan, "keys are stored as floating point: ids beyond 2**53 have lost digits",
                      "write keys as text or as whole numbers")  # fmt: skip
    if plan.commas:
        what = f"{plan.commas:,} numbers have commas inside (as decimal point or thousands marks)"
        yield _column(source, plan, what, "write 1234.5, or declare `type: string` for the column under expectations")
    if plan.naive and plan.zoned:
        yield _column(source, plan, f"{plan.naive:,} times lack an offset and {plan.zoned:,} carry one",
                      "write all of them with an offset, for example 2013-05-01T06:00:00Z")  # fmt: skip
    elif plan.naive and not source.zone:
        fix = f"add `zone: <IANA name>` to the source {source.name}, or write 2013-05-01T06:00:00Z"
        yield _column(source, plan, "times carry no offset, so the moment is unknown", fix)


def _of_values(source: Source, plan: Planned) -> list[Question]:
    """Return what may be wrong with single values of a column of `raw`."""
    cell, bad = name(plan.name), f"{plan.present} AND ({plan.sql}) IS NULL"
    kept = f"{plan.present} AND NOT ({bad})"
    if plan.type == "string":
        long = ("{count} values are longer than 1 MB (shown: the bytes of the first)", "shorten or leave out the text")
        size = f"strlen({plan.sql})"
        nul = ("{count} values hold a NUL byte", "remove the NUL bytes")
        return [
            Question(column=plan.name, condition=f"{size} > {MAX_FIELD}", value=size, fault=long),
            Question(column=plan.name, condition=f"contains({plan.sql}, chr(0))", value="NULL", fault=nul),
        ]
    noun = {"number": "numbers", "time": "times", "bool": "true or false"}[plan.type]
    most = "; the others are" if plan.like else ""
    found = [Question(column=plan.name, condition=bad, value=cell,
                      fault=(f"{{count}} values are not {noun}{most}", _REPAIR + _comma(plan)))]  # fmt: skip
    if plan.type == "time":
        found += _of_times(source, plan, kept)
    elif plan.type == "number":
        found += _of_numbers(plan, cell)
    return found


def _comma(plan: Planned) -> str:
    return "; numbers have a point and no thousands marks (1234.5)" if plan.type == "number" else ""


def _of_numbers(plan: Planned, cell: str) -> list[Question]:
    if plan.storage == "BIGINT":
        unsafe, lost = (
            f"abs(TRY_CAST({cell} AS DOUBLE)) >= {SAFE}",
            "{count} whole numbers are 2**53 or more and would lose digits",
        )
        fix = "ids: declare `type: string` for the column under expectations"
        return [Question(column=plan.name, condition=unsafe, value=cell, fault=(lost, fix))]
    endless = ("{count} values are infinite", "write them as missing, or as the number that is meant")
    return [Question(column=plan.name, condition=f"isinf({plan.sql})", value=cell, fault=endless)]


def _of_times(source: Source, plan: Planned, kept: str) -> list[Question]:
    moment, cell = plan.sql, name(plan.name)
    inside = f"{moment} >= TIMESTAMP '{_EARLIEST}' AND {moment} < TIMESTAMP '{_LATEST}'"
    fault = ("{count} times lie outside 1900 to 2199", "correct the year, or write the time as missing")
    found = [Question(column=plan.name, condition=f"{kept} AND NOT ({inside})", value=cell, fault=fault)]
    if plan.local and source.zone:
        zone = text(source.zone)
        aware, local = f"timezone({zone}, {plan.local})", plan.local
        moved = " OR ".join(
            f"timezone({zone}, {aware} {sign} INTERVAL {minutes} MINUTE) = {local}"
            for sign in "+-"
            for minutes in (30, 60)
        )
        fix = f"write these with an offset, for example 2013-11-03T01:30:00-04:00 ({source.zone})"
        twice = ("{count} times happen twice, for the clock is set back then", fix)
        never = ("{count} times do not exist, for the clock is set forward then", fix)
        skipped = f"timezone({zone}, {aware}) <> {local}"
        found.append(Question(column=plan.name, condition=f"{kept} AND ({moved})", value=cell, fault=twice))
        found.append(Question(column=plan.name, condition=f"{kept} AND {skipped}", value=cell, fault=never))
    return found


def _of_rule(rule: ColumnRule, plan: Planned) -> list[Question]:
    cell, here = name(rule.column), f"{name(rule.column)} IS NOT NULL"
    found = []
    declared = {"double": "number", "float64": "number", "int64": "number", "integer": "number"}.get(
        rule.type, rule.type
    )
    if declared and declared != plan.type:
        found.append((here, "type"))
    elif rule.type in ("int64", "integer") and plan.storage != "BIGINT":
        found.append((f"{here} AND {cell} <> floor({cell})", "type"))
    if rule.between:
        found.append((_outside(cell, here, plan, rule.between), "between"))
    if rule.pattern:
        found.append((f"{here} AND NOT regexp_full_match(CAST({cell} AS VARCHAR), {text(rule.pattern)})", "pattern"))
    if rule.allowed:
        values = ", ".join(text(value) if isinstance(value, str) else repr(value).lower() for value in rule.allowed)
        found.append((f"{here} AND CAST({cell} AS VARCHAR) NOT IN ({values})" if plan.type == "string"
                      else f"{here} AND {cell} NOT IN ({values})", "in"))  # fmt: skip
    if rule.nulls < 1:
        found.append((f"{cell} IS NULL", "nulls"))
    return [Question(column=rule.column, condition=sql, value=cell, rule=(rule, check)) for sql, check in found]  # type: ignore[arg-type]


def _outside(cell: str, here: str, plan: Planned, between: tuple[float, float]) -> str:
    number = cell if plan.type == "number" else f"TRY_CAST(CAST({cell} AS VARCHAR) AS DOUBLE)"
    return f"{here} AND NOT coalesce({number} BETWEEN {between[0]!r} AND {between[1]!r}, false)"


def _findings(source: Source, questions: Sequence[Question], answers: Sequence[Seen]) -> list[Finding]:
    return [
        _at(source, question.column, seen, _told(question.fault[0], seen.count), question.fault[1])
        for question, seen in zip(questions, answers, strict=True)
        if seen.count
    ]


def _told(what: str, count: int) -> str:
    """Put the number in; `{count} values are` is `1 value is` for one."""
    said = what.format(count=f"{count:,}")
    if count == 1:
        for many, one in _SINGULAR:
            said = said.replace(many, one, 1)
    return said


def _at(source: Source, column: str, seen: Seen, what: str, fix: str) -> Finding:
    return Finding(
        source=source.name, column=column, what=what, fix=fix,
        count=seen.count, row=seen.row, key=seen.key, value=seen.value,
    )  # fmt: skip


def _column(source: Source, plan: Planned, what: str, fix: str) -> Finding:
    return Finding(source=source.name, column=plan.name, what=what, fix=fix)
