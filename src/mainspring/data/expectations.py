"""What a source promises, and what is found when it does not keep it.

Rules are declared in the project file. A reader measures (`Violation`: how often a rule is broken and where first);
`judge` turns measurements into findings and `refuse` turns findings into one clear error. Nothing here reads data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mainspring.data.snapshots import ColumnInfo, SourceTable
from mainspring.kernel.digests import digest_of
from mainspring.kernel.errors import InvalidValue, MainspringError
from mainspring.kernel.times import format_time

_SHOWN = 20
_VALUE_SHOWN = 60
_MAX_PATTERN = 500

Check = Literal["type", "between", "pattern", "in", "nulls", "unique", "min_rows"]
Value = str | float | int | bool
DECLARED_TYPES = ("number", "double", "float64", "int64", "integer", "string", "time", "bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What one column promises; a part left at its default promises nothing.

    type: one of DECLARED_TYPES ("int64" and "integer": whole numbers). between: both ends included.
    pattern: a regular expression that the whole text matches (RE2: linear time). allowed: the only values (`in`).
    nulls: largest share of nulls, 0.0 to 1.0. unique: no value twice. Nulls break only `nulls`.
    """

    column: str
    type: str = ""
    between: tuple[float, float] | None = None
    pattern: str = ""
    allowed: tuple[Value, ...] = ()
    nulls: float = 1.0
    unique: bool = False

    def __post_init__(self) -> None:
        if self.type and self.type not in DECLARED_TYPES:
            raise InvalidValue(
                f"{self.column}: no type is called {self.type!r}", fix=f"use one of: {', '.join(DECLARED_TYPES)}"
            )
        if self.between and not self.between[0] <= self.between[1]:
            raise InvalidValue(f"{self.column}: nothing lies between {list(self.between)}", fix="write [low, high]")
        if not 0.0 <= self.nulls <= 1.0:
            raise InvalidValue(f"{self.column}: nulls {self.nulls} is not a share", fix="write 0.0 to 1.0")
        if len(self.pattern) > _MAX_PATTERN:
            raise InvalidValue(f"{self.column}: the pattern has {len(self.pattern)} characters", fix="use at most 500")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What one source promises: rules for columns, and how many rows it has at least."""

    source: str
    columns: tuple[ColumnRule, ...] = ()
    min_rows: int = 1

    def rule(self, column: str) -> ColumnRule:
        """Return the rule of `column`; one that promises nothing if none is declared."""
        return next((rule for rule in self.columns if rule.column == column), ColumnRule(column=column))

    @property
    def digest(self) -> str:
        """Return the digest of the rules: a snapshot is judged again when they change."""
        return digest_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A reader's measurement: `count` rows break `check` of `rule`; the first is row `row` (1 = first data row)."""

    rule: ColumnRule
    check: Check
    count: int
    rows: int
    row: int = 0
    key: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault of the data, told so that it can be found and mended. row: 1 = first data row, 0 = no single row."""

    source: str
    what: str
    fix: str
    column: str = ""
    count: int = 0
    row: int = 0
    key: str = ""
    value: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON for the ledger."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        place = f"{self.source}.{self.column}" if self.column else self.source
        first = f"; first at row {self.row}" if self.row else ""
        named = f" (key {self.key})" if self.row and self.key else ""
        value = f": {self.value!r}" if self.row and self.value else ""
        return f"{place}: {self.what}{first}{named}{value}"


class DataRefused(MainspringError):
    """A source breaks its promises or cannot be read; nothing was changed. `findings` has every fault."""

    code: ClassVar[str] = "data.refused"

    def __init__(self, findings: Sequence[Finding], *, kept: str = "") -> None:
        self.findings, self.kept = tuple(findings), kept
        lines = [str(finding) for finding in self.findings[:_SHOWN]]
        if len(self.findings) > _SHOWN:
            lines.append(f"and {len(self.findings) - _SHOWN} more")
        fixes = dict.fromkeys(finding.fix for finding in self.findings[:_SHOWN])
        what = "\n  ".join([*lines, kept] if kept else lines)
        super().__init__(what, fix="; ".join(fixes))


class SourceMissing(MainspringError):
    """A source's file is not there or may not be read."""

    code: ClassVar[str] = "data.missing"


class SourceChanged(MainspringError):
    """A source's file changed while it was read; nothing was changed."""

    code: ClassVar[str] = "data.changed"
    exit_code: ClassVar[int] = 75


def refuse(findings: Sequence[Finding]) -> None:
    """Raise `DataRefused` if there is any finding."""
    if findings:
        raise DataRefused(findings)


def judge(source: str, violations: Iterable[Violation]) -> list[Finding]:
    """Return a finding for every rule that is broken."""
    return [_finding(source, violation) for violation in violations if _broken(violation)]


def warnings(table: SourceTable, at: int) -> list[Finding]:
    """Return what is strange about a table that is good enough to keep: empty, constant or future columns."""
    found = (_strange(table, column, at) for column in table.columns)
    return [finding for finding in found if finding]


def shown(value: object) -> str:
    """Return a value as text, cut to a length that fits a message."""
    text = str(value)
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]}..."


def _broken(violation: Violation) -> bool:
    if violation.check == "nulls":
        return violation.count > violation.rule.nulls * violation.rows
    return violation.count > 0


def _finding(source: str, violation: Violation) -> Finding:
    what, fix = _words(violation)
    return Finding(
        source=source, column=violation.rule.column, count=violation.count, what=what, fix=fix,
        row=violation.row, key=violation.key, value=shown(violation.value) if violation.value else "",
    )  # fmt: skip


def _words(violation: Violation) -> tuple[str, str]:
    rule, count = violation.rule, violation.count
    many = f"{count:,} value{'s' if count != 1 else ''}"
    relax = f"correct the data, or change what is expected of {rule.column}"
    if violation.check == "between" and rule.between:
        return f"{many} outside [{rule.between[0]:g}, {rule.between[1]:g}]", relax
    if violation.check == "pattern":
        return f"{many} not of the form {rule.pattern}", relax
    if violation.check == "in":
        return f"{many} not among {', '.join(map(str, rule.allowed[:10]))}", relax
    if violation.check == "nulls":
        return f"{count:,} of {violation.rows:,} values are missing, more than {rule.nulls:.2%}", relax
    if violation.check == "unique":
        return f"{many} that another row has too", f"remove the repeated rows, or do not expect {rule.column} unique"
    return f"{many} not of type {rule.type}", relax


def _strange(table: SourceTable, column: ColumnInfo, at: int) -> Finding | None:
    what = ""
    if column.nulls == table.rows:
        what = "every value is missing"
    elif table.rows > 1 and not column.nulls and column.low == column.high:
        what = f"every value is {shown(column.low)}"
    elif column.type == "time" and isinstance(column.high, int) and column.high > at:
        what = f"holds times in the future, up to {format_time(column.high)}"
    if not what:
        return None
    return Finding(source=table.name, column=column.name, what=what, fix="check the source, or leave the column out")
