"""JSON nested too deeply is refused with its reason before anything that recurses reads it, in every protocol."""

import json
import random
from collections.abc import Callable

import pytest
from tests.unit.serve.protocol_kit import NUMBERS, TAKES
from tests.unit.serve.serving_kit import NOW

from mainspring.entry.inference.bodies import parse_object
from mainspring.serve.errors import BadBody
from mainspring.serve.protocols import CODECS, V2
from mainspring.serve.protocols.depth import MAX_DEPTH, refuse_depth
from mainspring.serve.protocols.feedback import decode, decode_seldon
from mainspring.serve.questions import Codec, Takes, Wire
from mainspring.serve.quick import _decoder


def too_deep(body: bytes, most: int = MAX_DEPTH) -> bool:
    try:
        refuse_depth(body, most)
    except BadBody:
        return True
    return False


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@pytest.mark.parametrize("pad", [0, 5_000, 1 << 18])
@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a" : ', b"}]")])
def test_the_limit_is_exact(opens: bytes, closes: bytes, pad: int) -> None:
    step = opens.count(b"[") + opens.count(b"{")
    fits = opens * (MAX_DEPTH // step) + b'"' + b"x" * pad + b'"' + closes * (MAX_DEPTH // step)
    assert not too_deep(fits)
    assert too_deep(b"[" + fits + b"]")
    assert too_deep(b"[" * (MAX_DEPTH + 1))  # it need not be whole


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + b"[" * 500 + b'"}',
        b'{"a":"\\"' + b"[{" * 500 + b'"}',
        b'{"a":"\\\\\\"' + b"[" * 500 + b'\\\\","b":["' + b"{" * 99 + b'"]}',
        b"[" + b"[1], " * 5_000 + b"[1]]",
        b"[" + b'{"a": [1]},\n' * 5_000 + b"[1]]",
        b"[" + b'"[",' * 100_000 + b"1]",
    ],
)
def test_brackets_in_texts_and_rows_side_by_side_are_no_depth(body: bytes) -> None:
    assert not too_deep(body)


@pytest.mark.parametrize(
    "hidden",
    [
        b'["]",' * 100,  # texts that seem to close
        b'["],[",' * 100,  # texts that look like the gap between two rows
        b'["\\\\",' * 100,
        b'["' + b"]" * 500 + b'",' + b"[" * 99,
        b'["\\"],[",' * 70_000,
    ],
)
def test_texts_do_not_hide_depth(hidden: bytes) -> None:
    assert too_deep(hidden)


def test_seeded_documents_are_judged_by_their_true_depth() -> None:
    source = random.Random(44)
    texts = ["", "[", "]]", '{"', '\\"', "\\", '"],["', "}, {"]

    def made(depth: int) -> object:
        if depth == 0:
            return source.choice([1, None, True, *texts])
        items = [made(source.randrange(depth)) for _ in range(source.randrange(3))] + [made(depth - 1)]
        source.shuffle(items)
        return items if source.random() < 0.5 else {f"{source.choice(texts)}{at}": v for at, v in enumerate(items)}

    for _ in range(100):
        depth = source.randint(1, 9)
        document = made(depth)
        assert depth_of(document) == depth
        body = json.dumps(document, indent=source.choice([None, 1]), separators=source.choice([None, (",", ":")]))
        for most in range(1, 11):
            assert too_deep(body.encode(), most) == (depth > most), body


def _by(codec: Codec, takes: Takes) -> Callable[[bytes], object]:
    return lambda body: codec.decode(body, takes, Wire())


_READERS: dict[str, Callable[[bytes], object]] = {
    **{name: _by(codec, TAKES) for name, codec in CODECS.items()},
    **{f"{name} numbers": _by(codec, NUMBERS) for name, codec in CODECS.items()},  # V1's read `:explain` too
    "v2 binary": lambda body: V2.decode(body + bytes(16), NUMBERS, Wire(header_length=len(body))),
    "labels": lambda body: decode(body, NOW),
    "seldon labels": lambda body: decode_seldon(body, NOW),
    "admin": parse_object,
}
_DEEP = [MAX_DEPTH + 1, 1_000, 1_000_000]


@pytest.mark.parametrize("name", _READERS)
@pytest.mark.parametrize("depth", _DEEP)
def test_every_reader_of_json_says_that_it_is_too_deep(name: str, depth: int) -> None:
    for body in (b"[" * depth, b'{"inputs":' + b"[" * depth + b"]" * depth + b"}", b'{"data":' * depth):
        with pytest.raises(BadBody, match="nested more than 64 deep"):
            _READERS[name](body)


def test_the_readers_that_do_not_ask_are_bounded_by_their_types() -> None:
    """They stop at the first bracket that their type does not have: what comes behind is never read."""
    read = _decoder(2)
    good = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1.5,2]}]}'
    assert read(good)
    for place in (b'"x"', b"1.5", b"[1,2]", b"[1.5,2]"):
        broken = good[: good.index(place)] + b"[" * 1_000_000
        with pytest.raises(ValueError, match=r"[Ee]xpected"):
            read(broken)
        with pytest.raises(BadBody, match="nested more than 64 deep"):
            V2.decode(broken, NUMBERS, Wire())
