"""What an owner may declare about a model: schemas and samples."""

import json

import numpy as np
import pytest

from mainspring.develop.adoption import check_scores, made_sample, read_sample, read_schema, zeros
from mainspring.develop.errors import ImportRefused
from mainspring.kernel.contract import Input
from mainspring.security.artifacts import ArtifactRefused

INPUTS = (Input(name="age", kind="number"), Input(name="city", kind="string"))


def test_a_schema_is_a_list_of_names_or_of_inputs() -> None:
    assert read_schema(b'["age"]') == INPUTS[:1]
    assert read_schema(b'{"inputs": [{"name": "age"}, {"name": "city", "kind": "string"}]}') == INPUTS


@pytest.mark.parametrize(
    "data",
    [b"[]", b"{}", b'{"inputs": 1}', b"[1]", b'[{"name": 1}]', b'[{"name": "a", "kind": "tensor"}]', b'["a", "a"]',
     b'[""]', b'["@key"]', b'["a\\u0000"]', b'[{"name": "a", "more": 1}]'],
)  # fmt: skip
def test_another_schema_is_refused(data: bytes) -> None:
    with pytest.raises(ImportRefused):
        read_schema(data)


def test_a_schema_that_is_no_strict_json_is_refused() -> None:
    with pytest.raises(ArtifactRefused):
        read_schema(b'{"inputs": [], "inputs": []}')


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("s.csv", b"city,age,more\nOslo,31,x\n,,x\n"),
        ("s.json", b'[{"age": 31, "city": "Oslo"}, {"age": null, "city": null}]'),
        ("s.json", b'{"age": [31, null], "city": ["Oslo", null]}'),
    ],
)
def test_a_sample_is_csv_or_json_and_keeps_what_is_missing(name: str, data: bytes) -> None:
    columns = read_sample(name, data, INPUTS)
    assert list(columns) == ["age", "city"]
    assert columns["age"][0] == 31
    assert np.isnan(columns["age"][1])
    assert columns["city"][0] == "Oslo"
    assert not columns["city"][1]


def test_a_long_sample_is_cut() -> None:
    rows = json.dumps([{"age": place, "city": ""} for place in range(1000)]).encode()
    assert len(read_sample("s.json", rows, INPUTS)["age"]) == 20


@pytest.mark.parametrize(
    ("name", "data"),
    [("s.csv", b""), ("s.csv", b"age,city\n"), ("s.csv", b"age\n1\n"), ("s.csv", b"age,city\nold,Oslo\n"),
     ("s.csv", b"\xff\xfe"), ("s.json", b"[]"), ("s.json", b"3"), ("s.json", b'{"age": [1], "city": []}'),
     ("s.json", b'[{"age": [1], "city": ""}]'), ("s.csv", b"age,city\n1\n\n"[:11])],
)  # fmt: skip
def test_a_sample_that_does_not_hold_the_inputs_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(ImportRefused):
        read_sample(name, data, (*INPUTS, Input(name="more", kind="number")))


def test_made_rows_are_the_same_every_time() -> None:
    one, two = made_sample(INPUTS), made_sample(INPUTS)
    assert one["age"].tolist() == two["age"].tolist()
    assert one["age"][0] == 0
    assert zeros(INPUTS)["age"].tolist() == [0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.1, 250.0])
def test_a_score_is_a_probability(bad: float) -> None:
    check_scores(np.array([0.0, 1.0]), "a row")
    with pytest.raises(ImportRefused):
        check_scores(np.array([0.5, bad]), "a row")
