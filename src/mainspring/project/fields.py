"""The kinds of value a project file has: durations, percents, names, paths, references. Each is kept as written.

A field either is right or says what is wrong; nothing is converted. `lower` turns the text into numbers.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from mainspring.kernel.errors import MainspringError
from mainspring.kernel.ids import checked_name
from mainspring.kernel.times import parse_duration
from mainspring.project.cron import parse_cron

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FEATURE = re.compile(r"([a-z][a-z0-9_-]*\.)?[A-Za-z_][A-Za-z0-9_]*")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%")
_RATE = re.compile(r"(\d{1,12}) per (\d{1,9}(?:us|ms|s|m|h|d|w))")
_PERSIST = re.compile(r"(\d{1,3}) of (\d{1,3})")
_RUNS = re.compile(r"(\d{1,6}) runs? per (\d{1,9}(?:us|ms|s|m|h|d|w))|(\d{1,6}) per (\d{1,9}(?:us|ms|s|m|h|d|w))")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_SECRET_REF = re.compile(r"secret://[a-z][a-z0-9-]*/[A-Za-z0-9_./-]+(#[A-Za-z0-9_.-]+)?")
_WORD = r"[a-z0-9]+(?:(?:[.-]+|_+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_WORD}(?::[0-9]{{1,5}})?/)?{_WORD}(?:/{_WORD})*(?::[a-z0-9][a-z0-9._-]*)?@sha256:[0-9a-f]{{64}}"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
_MAX_TEXT = 200


class Section(BaseModel):
    """A part of the project file: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def mistake(code: str, what: str, fix: str) -> PydanticCustomError:
    """Return the error that makes a validator report `what` with `fix`."""
    return PydanticCustomError("project_mistake", "{what}", {"code": code, "what": what, "fix": fix})


def shown(value: object) -> str:
    """Return a short, printable form of a value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _matching(pattern: re.Pattern[str], noun: str, fix: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > _MAX_TEXT or not pattern.fullmatch(text):
            raise mistake("project.value", f"{shown(text)} is not {noun}", fix)
        return text

    return check


def _told(code: str, check: Callable[[str], object]) -> Callable[[str], str]:
    """Return a validator that reports the check's own error with `code`."""

    def validate(text: str) -> str:
        try:
            check(text)
        except MainspringError as error:
            raise mistake(code, error.what, error.fix) from None
        return text

    return validate


def _duration_or_all(text: str) -> object:
    return text if text == "all" else parse_duration(text)


def _percent(text: str) -> str:
    found = _PERCENT.fullmatch(text)
    if not found or float(found[1]) > 100:
        raise mistake("project.value", f"{shown(text)} is not a percentage", "write a number from 0 to 100 and %: 1%")
    return text


def _persist(text: str) -> str:
    found = _PERSIST.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise mistake("project.value", f"{shown(text)} is not `k of n`", "write how many windows of how many: 2 of 3")
    return text


def _rate(text: str) -> str:
    found = _RATE.fullmatch(text)
    if not found or not int(found[1]):
        raise mistake("project.value", f"{shown(text)} is not a rate", "write a number per duration: 100000 per 1d")
    return _told("project.value", lambda whole: parse_duration(whole.split(" per ")[1]))(text)


def _runs(text: str) -> str:
    if not _RUNS.fullmatch(text) or text.startswith("0"):
        raise mistake("project.value", f"{shown(text)} is not a budget", "write runs per duration: 6 per 30d")
    return _told("project.value", lambda whole: parse_duration(whole.split(" per ")[1]))(text)


def local_path(text: str) -> str:
    """Return `text` if it is a plain relative path inside the project (symbolic links are checked by `load`)."""
    inside = "use a path below the project's folder, with forward slashes: data/flights.parquet"
    if not text or len(text) > 1000 or not text.isprintable():
        raise mistake("project.path", f"{shown(text)} is not a path", inside)
    if _DRIVE.match(text) or text.startswith(("/", "\\", "~")):
        raise mistake("project.path", f"{shown(text)} is absolute or names a home folder", inside)
    if _SCHEME.match(text):
        what = f"{shown(text)} is not a local file; other stores cannot be read yet"
        raise mistake("project.unsupported", what, "copy the table below the project's folder")
    if "\\" in text or ".." in PurePosixPath(text).parts:
        raise mistake("project.path", f"{shown(text)} leaves the project", inside)
    if not text.endswith((".parquet", ".csv")):
        raise mistake("project.path", f"{shown(text)} is neither .parquet nor .csv", "convert the table to Parquet")
    return text


def lock_path(text: str) -> str:
    """Return `text` if it is a plain relative path of a lock file inside the project."""
    if not text.endswith((".txt", ".lock")):
        raise mistake("project.path", f"{shown(text)} is neither .txt nor .lock", "name a file of name==version lines")
    local_path(text.rpartition(".")[0] + ".csv")  # the same rules of place
    return text


class Written:
    """How a text is checked and how the JSON schema describes it. The text itself stays as written."""

    def __init__(self, pattern: str, example: str, check: Callable[[str], str]) -> None:
        self.pattern, self.example, self.check = pattern, example, check

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Return the schema by which pydantic validates."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON schema of the text."""
        return {**handler(schema), "pattern": f"^{self.pattern}$", "examples": [self.example]}


_DURATION = r"[0-9]+(us|ms|s|m|h|d|w)"
Duration = Annotated[str, Written(_DURATION, "6h", _told("project.value", parse_duration))]
History = Annotated[str, Written(rf"(all|{_DURATION})", "all", _told("project.value", _duration_or_all))]
Percent = Annotated[str, Written(r"[0-9.]+%", "1%", _percent)]
Rate = Annotated[str, Written(rf"[0-9]+ per {_DURATION}", "100000 per 1d", _rate)]
Runs = Annotated[str, Written(rf"[0-9]+( runs?)? per {_DURATION}", "6 per 30d", _runs)]
Persist = Annotated[str, Written("[0-9]+ of [0-9]+", "2 of 3", _persist)]
Cron = Annotated[str, Written(r"\S+ \S+ \S+ \S+ \S+", "0 */6 * * *", _told("project.value", parse_cron))]
Name = Annotated[str, Written(
    "[a-z][a-z0-9]*([-_][a-z0-9]+)*", "flight-delay",
    _told("project.name", lambda text: checked_name(text, "thing")),
)]  # fmt: skip
Column = Annotated[str, Written(
    "[A-Za-z_][A-Za-z0-9_]*", "carrier",
    _matching(_COLUMN, "a column name", "use letters, digits and _; do not start with a digit"),
)]  # fmt: skip
FeatureColumn = Annotated[str, Written(
    "([a-z][a-z0-9_-]*[.])?[A-Za-z_][A-Za-z0-9_]*", "schedule.carrier",
    _matching(_FEATURE, "a feature's column", "write carrier, or schedule.carrier"),
)]  # fmt: skip
Function = Annotated[str, Written(
    r"[\w.]+:\w+", "flight_delay.train:fit",
    _matching(_FUNCTION, "a function", "write package.module:function, for example flight_delay.train:fit"),
)]  # fmt: skip
TypeName = Annotated[str, Written(
    r"[A-Za-z_]\w*([.][A-Za-z_]\w*)+", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    _matching(
        re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+"), "a type", "write package.module.Type, as the refusal names it"
    ),
)]  # fmt: skip
SecretRef = Annotated[str, Written(
    r"secret://\S+", "secret://env/ALERT_WEBHOOK",
    _matching(_SECRET_REF, "a secret reference", "write secret://env/NAME or secret://vault/path#field"),
)]  # fmt: skip
Image = Annotated[str, Written(
    r"\S+@sha256:[0-9a-f]{64}", "registry/ml-api@sha256:<64 hex>",
    _matching(_IMAGE, "an image by digest", "write name@sha256:<64 hex>; a tag such as latest can change unseen"),
)]  # fmt: skip
Repository = Annotated[str, Written(
    r"(https://|ssh://git@|git@)\S+", "https://git.example/ops/flight-delay.git",
    _matching(
        re.compile(r"(https://|ssh://git@)[a-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9_.-]+)+|git@[a-z0-9.-]+:[A-Za-z0-9_./-]+"),
        "a git repository", "write https://host/owner/name.git, without a user or a password",
    ),
)]  # fmt: skip
Branch = Annotated[str, Written(
    r"[A-Za-z0-9_][A-Za-z0-9_./-]*", "main",
    _matching(
        re.compile(r"(?!.*(\.\.|//|@\{|\.lock$|\.$|/$))[A-Za-z0-9_][A-Za-z0-9_./-]*"), "a branch", "write main"
    ),
)]  # fmt: skip
Registry = Annotated[str, Written(
    r"[a-z0-9]+([._:/-]+[a-z0-9]+)*", "registry.example/ops/flight-delay",
    _matching(
        re.compile(r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*"), "a place for images",
        "write registry/owner/name in lower case, without tag or digest",
    ),
)]  # fmt: skip
LocalPath = Annotated[str, Written(r"[^/~].*\.(parquet|csv)", "data/flights.parquet", local_path)]
Text = Annotated[str, Field(max_length=2000)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


Columns = tuple[Column, ...]


def tagged(value: object) -> str:
    """Return which form of an either-or field `value` has: text, number, list or mapping."""
    if isinstance(value, str):
        return "<text>"
    if isinstance(value, bool):
        return "<other>"
    if isinstance(value, int | float):
        return "<number>"
    return "<mapping>" if isinstance(value, dict) else "<list>" if isinstance(value, tuple | list) else "<other>"


FORM = Discriminator(
    tagged,
    custom_error_type="project_form",
    custom_error_message="has the wrong type",
)
TEXT, NUMBER, LIST, MAPPING = Tag("<text>"), Tag("<number>"), Tag("<list>"), Tag("<mapping>")
