"""The project file's data part as it is written: sources, expectations, the ask, features and the target."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mainspring.project.fields import FORM, LIST, TEXT, Column, Columns, Duration, LocalPath, Name, Section, Share, Text


class SourceSection(Section):
    """A table: where it is, what identifies a row, and when its values hold and become known."""

    uri: LocalPath = Field(description="Parquet or CSV file below the project's folder.")
    key: Column = Field(description="Column that identifies what a row is about.")
    event_time: Column = Field(
        description="Time column from which a row holds, or `always` for a table that never changes."
    )
    known_at: dict[Column, Annotated[Annotated[Literal["others"], TEXT] | Annotated[Columns, LIST], FORM]] = Field(
        default_factory=dict,
        description="Time column -> the columns known from that time; `others` stands for all not listed. "
        "Left out: everything is known at event_time.",
    )
    min_rows: int = Field(default=1, ge=1, description="Fewest rows that a snapshot may have.")
    zone: str = Field(default="", description="IANA time zone of times without an offset; without it they are refused.")


class ColumnRules(Section):
    """What a column's values must be; a snapshot that breaks a rule is refused."""

    type: Literal["int64", "float64", "string", "time", "bool"] | None = Field(
        default=None, description="Type that the column must have."
    )
    between: tuple[float, float] | None = Field(default=None, description="Lowest and highest number allowed.")
    pattern: Text | None = Field(default=None, description="Regular expression that the whole text must match.")
    in_: tuple[str | int | float, ...] | None = Field(default=None, alias="in", description="The values allowed.")
    nulls: Share = Field(default=1.0, description="Largest share of missing values, 0 to 1.")
    unique: bool = Field(default=False, description="Refuse repeated values.")


class DataSection(Section):
    """Where data comes from and what it must look like."""

    sources: dict[Name, SourceSection] = Field(min_length=1, description="Tables by name.")
    expectations: dict[Name, dict[Column, ColumnRules]] = Field(
        default_factory=dict, description="Source -> column -> rules that every snapshot must keep."
    )


class AskSection(Section):
    """The question: about which key, at which time."""

    from_: Name = Field(alias="from", description="Source whose rows are the questions.")
    key: Column = Field(description="Key column of that source.")
    at: Column = Field(description="Event time of that source: when the question is asked.")


class RowFeature(Section):
    """Columns of one row as of the ask: the ask's own row, or the newest row that matches `by`."""

    from_: Name = Field(alias="from", description="Source to read.")
    by: Annotated[Annotated[Column, TEXT] | Annotated[Columns, LIST], FORM] = Field(
        default=(), description="Column or columns of the ask whose values pick the row; left out: the ask's own row."
    )
    max_age: Duration | None = Field(default=None, description="Rows older than this count as missing.")
    columns: Columns = Field(default=(), description="Columns to use as they are.")
    derive: dict[Column, Text] = Field(
        default_factory=dict, description="Name -> expression over the row's columns and `ask.<column>`."
    )


class WindowFeature(Section):
    """Aggregates over the rows that happened, and were known, in a window before the ask."""

    from_: Name = Field(alias="from", description="Source to read.")
    by: Annotated[Annotated[Column, TEXT] | Annotated[Columns, LIST], FORM] = Field(
        description="Column or columns that group the rows."
    )
    window: Duration = Field(description="How far back the window reaches.")
    refresh: Duration = Field(default="1h", description="How often the values are brought up to date.")
    aggregate: dict[Column, Text] = Field(
        min_length=1, description="Name -> count(*), count(x), sum(x), avg(x) or share(x)."
    )


def _feature_kind(value: object) -> str:
    return "<window>" if isinstance(value, dict) and ("window" in value or "aggregate" in value) else "<row>"


Feature = Annotated[
    Annotated[RowFeature, Tag("<row>")] | Annotated[WindowFeature, Tag("<window>")], Discriminator(_feature_kind)
]


class TargetSection(Section):
    """What the model predicts."""

    name: Column = Field(description="Name of the outcome; inside a window aggregate it is a column.")
    from_: Name = Field(alias="from", description="Source that holds the outcome; the ask's source.")
    expression: Text = Field(description="Expression that is true for a positive outcome and null for none.")
    kind: Literal["binary"] = Field(default="binary", description="Kind of outcome.")
