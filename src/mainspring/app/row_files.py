"""Files of rows that a command is given: CSV with a header, or Parquet."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mainspring.kernel.contract import Input
from mainspring.kernel.errors import InvalidValue, NotFound
from mainspring.stats.columns import Array, Columns

MAX_ROWS = 20_000_000


def rows_of(path: Path, inputs: Sequence[Input]) -> Columns:
    """Return the rows of a Parquet file, or of a CSV file with a header, by column; what is no input is text.

    Empty is missing. Raises `NotFound` and `InvalidValue`, of CSV with the line.
    """
    if path.suffix.lower() == ".parquet":
        from mainspring.adapters.frames.parquet import ParquetFrames

        if not path.is_file():
            raise NotFound(f"{path} is not there", fix="check the path")
        return ParquetFrames(keep=0).read(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _csv(csv.reader(stream), {item.name: item.kind for item in inputs})
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path.name} is not UTF-8", fix="give CSV with a header, or Parquet") from error
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}", fix="check the path") from error
    except csv.Error as error:
        raise InvalidValue(f"{path.name} is not CSV: {error}", fix="give CSV with a header, or Parquet") from error


def _csv(rows: Iterator[list[str]], kinds: Mapping[str, str]) -> Columns:
    header = next(rows, [])
    if len(set(header)) != len(header) or not header:
        raise InvalidValue("the file has no header of different names", fix="name every column once")
    columns: list[list[str]] = [[] for _ in header]
    for number, row in enumerate(rows, start=2):
        if number > MAX_ROWS:
            raise InvalidValue(f"the file has more than {MAX_ROWS} rows", fix="split it")
        if len(row) != len(header):
            raise InvalidValue(f"line {number} has {len(row)} of {len(header)} columns", fix="mend that line")
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return {
        name: _column(name, values, kinds.get(name, "string")) for name, values in zip(header, columns, strict=True)
    }


def _column(name: str, values: list[str], kind: str) -> Array:
    if kind == "string":
        found = np.empty(len(values), dtype=object)
        found[:] = [value or None for value in values]
        return found
    try:
        return np.array([float(value) if value else np.nan for value in values], np.float64)
    except ValueError as error:
        raise InvalidValue(
            f"column {name!r} holds a text: {error}", fix="it takes numbers, empty for missing"
        ) from error
