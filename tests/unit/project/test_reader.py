"""The strict reader: what a file says is what is read, and every value knows its line."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.project.reader import read_document

_KEYS = st.text(alphabet="abcdefgh_", min_size=1, max_size=8).filter(lambda key: key not in ("null", "true", "false"))
_SCALARS = st.one_of(
    st.integers(-(10**12), 10**12), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=20),
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.dictionaries(_KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


def written(value: object) -> str:
    """Return `value` in YAML's flow style, text always quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


@given(document=st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_is_read(document: dict[str, object]) -> None:
    text = "".join(f"{key}: {written(value)}\n" for key, value in document.items())
    read = read_document(text.encode())
    assert read.mistakes == []
    assert read.value == document
    for number, key in enumerate(document, start=1):
        assert read.locate((key,)) == number


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_the_reader_fall_over(data: bytes) -> None:
    read = read_document(data)
    assert read.value is not None or read.mistakes


@given(text=st.text(alphabet="ab:-{}[],&*!|>'\"#% \n\t<~?@0.1", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_punctuation_makes_the_reader_fall_over(text: str) -> None:
    read = read_document(text.encode())
    assert all(1 <= mistake.line <= text.count("\n") + 2 for mistake in read.mistakes)


def test_the_nearest_written_line_stands_for_what_is_not_there() -> None:
    read = read_document(b"a:\n  b:\n    - x\n    - y: 1\n")
    assert read.locate(("a", "b", 1, "y")) == 4
    assert read.locate(("a", "b", 1, "z")) == 4
    assert read.locate(("a", "c", "d")) == 1
    assert read.locate(("q",)) == 1


def test_a_key_that_is_no_text_is_a_mistake() -> None:
    for key in ("1", "null", "true", "1.5"):
        assert [mistake.code for mistake in read_document(f"{key}: x\n".encode()).mistakes] == ["project.type"]


def test_the_first_of_two_equal_keys_is_kept_and_the_second_named() -> None:
    read = read_document(b"a: {b: 1}\na: {b: 2, c: {d: 1}}\n")
    assert read.value == {"a": {"b": 1}}
    assert [(mistake.line, mistake.code) for mistake in read.mistakes] == [(2, "project.duplicate")]
