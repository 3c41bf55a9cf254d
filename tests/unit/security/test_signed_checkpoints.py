"""Signed checkpoints: only what a trusted key signed, unchanged, for this environment."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.security.checkpoints import Checkpoint, CheckpointRefused, open_checkpoint, seal_checkpoint
from mainspring.security.keys import key_id, new_key, public_of

KEY, OTHER = new_key(), new_key()
TRUSTED = {key_id(public_of(KEY)): public_of(KEY)}
POINT = Checkpoint(environment="local", seq=7, hash="sha256:" + "a" * 64, at=1)
SEALED = seal_checkpoint(POINT, KEY)


def changed(**fields: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps({**json.loads(SEALED), **fields}).encode()


def test_what_was_sealed_is_opened() -> None:
    assert open_checkpoint(SEALED, "local", TRUSTED) == POINT


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[" * 10_000, "cannot be read"),
        (b"{}" + b" " * 20_000, "at most"),
        (changed(schema=2), "its schema is 2, not 1"),
        (changed(signature="no base64"), "cannot be read"),
        (changed(checkpoint={"seq": 7}), "its signature does not hold"),
        (changed(checkpoint={**json.loads(SEALED)["checkpoint"], "seq": 6}), "its signature does not hold"),
        (changed(key="f" * 64), "is not trusted here"),
        (seal_checkpoint(POINT, OTHER), "is not trusted here"),
    ],
)
def test_anything_else_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(CheckpointRefused, match=what):
        open_checkpoint(data, "local", TRUSTED)


def test_another_environments_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointRefused, match="it was signed for 'local'"):
        open_checkpoint(SEALED, "staging", TRUSTED)


@given(place=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_opens_nothing_else(place: int, bit: int) -> None:
    spoilt = bytearray(SEALED)
    spoilt[place] ^= 1 << bit
    try:
        assert open_checkpoint(bytes(spoilt), "local", TRUSTED) == POINT
    except CheckpointRefused:
        return
