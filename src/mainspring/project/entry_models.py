"""What must hold before a version enters an environment, as written in the project file."""

from pydantic import Field

from mainspring.project.fields import Duration, Section, Text


class FreezeSection(Section):
    """A time in which nothing new enters an environment."""

    from_: str = Field(
        alias="from", max_length=40, description="Start: `2026-12-23`, `2026-12-23T18:00`, or each week `fri 16:00`."
    )
    to: str = Field(max_length=40, description="End, not included, in the same form.")
    zone: str = Field(default="UTC", max_length=60, description="IANA time zone of times without an offset.")
    reason: Text = Field(description="Why; told to who is refused.")


class EntrySection(Section):
    """How a version enters an environment."""

    approvals: int = Field(default=0, ge=0, le=10, description="People who must approve a version before it enters.")
    soak: Duration | None = Field(
        default=None, description="How long a version must have answered here before it may go to the next environment."
    )
    freeze: tuple[FreezeSection, ...] = Field(default=(), description="Times in which no new version enters.")
