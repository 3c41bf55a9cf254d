"""Dumped documents mean the same to every reader: YAML 1.1 (most cluster tools) and YAML 1.2."""

import io
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mainspring.adapters.yaml.dump import dump
from mainspring.deliver.render.content import Objects
from mainspring.kernel.errors import InvalidValue

RETYPED = [
    "on", "off", "yes", "No", "y", "N", "true", "null", "~", "", "=", "<<", "012", "0o17", "0x1F", "0b11", "1_000",
    "12:30:45", "190:20:30.15", "1e3", "1.5", ".5", "5.", "-.inf", ".nan", "2013-05-01", "2013-05-01T00:00:00Z",
]  # fmt: skip
LINES = ["#!/bin/sh\nset -e\n  indented\n", "a\n", "\n", "a\n\n\nb", " lead\nb", "trail \nb\n", "tab\there", "a\r\nb"]
PLAIN = ["- a", "a: b", "#c", "@x", "*y", "&z", "!t", "{", "[", "%", "|", ">", "'", '"', "ä", "\u2028", "\x07"]
_TEXT = st.text(alphabet=string.printable + "äß€\u2028", max_size=12) | st.sampled_from(RETYPED + LINES + PLAIN)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


def read(text: str, version: tuple[int, int]) -> list[Any]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return list(yaml.load_all(io.StringIO(text)))


@pytest.mark.parametrize("version", [(1, 1), (1, 2)])
@pytest.mark.parametrize("text", [*RETYPED, *LINES, *PLAIN])
def test_a_text_stays_this_text(text: str, version: tuple[int, int]) -> None:
    assert read(dump(Objects([{"key": text, text: 1}])), version) == [{"key": text, text: 1}]


@given(document=st.dictionaries(_TEXT, _VALUES, max_size=4), version=st.sampled_from([(1, 1), (1, 2)]))
def test_a_document_is_read_back_as_it_was(document: dict[str, Any], version: tuple[int, int]) -> None:
    assert read(dump(Objects([document, {"next": True}])), version) == [document, {"next": True}]


def test_repeated_values_are_written_out() -> None:
    shared = {"a": ["x"]}
    assert "&" not in dump(Objects([{"one": shared, "two": shared}]))


def test_keys_keep_their_order() -> None:
    assert dump(Objects([{"z": 1, "a": {"x": 2, "b": 3}}])) == "z: 1\na:\n  x: 2\n  b: 3\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-07, "1.0e-07"), (1e300, "1.0e+300"), (float("inf"), ".inf"), (float("-inf"), "-.inf"), (None, "null"),
     ([], "[]"), ({}, "{}"), ([[1], [{}]], "\n  - - 1\n  - - {}"), ("a\n\n", "|+\n  a\n"), ("a\nb", "|-\n  a\n  b"),
     ("--x", "--x"), ("---", '"---"'), ("a:", '"a:"'), ("\U000e0001", '"\\U000e0001"')],
)  # fmt: skip
def test_each_kind_of_value_has_one_form(value: object, text: str) -> None:
    space = "" if text.startswith("\n") else " "
    assert dump(Objects([{"k": value}])) == f"k:{space}{text}\n"
    assert read(dump(Objects([{"k": value}])), (1, 1)) == read(dump(Objects([{"k": value}])), (1, 2)) == [{"k": value}]


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(InvalidValue, match="set"):
        dump(Objects([{"a": {1, 2}}]))


def test_a_release_of_a_project_called_on_stays_its_name_in_every_yaml() -> None:
    from ruamel.yaml import YAML

    from mainspring.adapters.git.texts import parse, render

    plain = b"# mine\nschema: 1\nmodel: on\nchampion:\n  version: 1\n"
    for old in (None, plain):
        text = render({"schema": 1, "model": "on", "champion": {"version": 2}}, "production", old)
        old_reader = YAML(typ="safe", pure=True)
        old_reader.version = (1, 1)
        assert old_reader.load(text.decode())["model"] == parse(text)["model"] == "on"  # type: ignore[index]
    assert text.startswith(b"# mine")
