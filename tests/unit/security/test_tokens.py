"""API keys: what is issued, who is let in, and what is refused when the file was touched."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.kernel.errors import Conflict, Damaged, InvalidValue, NotFound
from mainspring.security.token_files import from_bytes, to_bytes
from mainspring.security.tokens import (
    MAX_TOKENS,
    RANDOM_BYTES,
    ROLES,
    Allowance,
    Token,
    TokenBook,
    Wanted,
    issue,
    pruned,
    revoked,
    roles_of,
    with_token,
)

NOW = 1_700_000_000_000_000


def made(seed: int = 1, name: str = "ci", **more: object) -> tuple[str, Token]:
    return issue(Wanted(name=name, **more), random=bytes([seed]) * RANDOM_BYTES, now=NOW)  # type: ignore[arg-type]


def test_a_secret_is_recognisable_has_256_bits_and_is_not_kept() -> None:
    secret, token = made()
    assert secret.startswith(f"mst_{token.id}_")
    assert len(secret) == len("mst_") + 8 + 1 + 43
    assert secret.encode() not in to_bytes([token])
    assert TokenBook([token]).judge(secret.encode(), NOW) == ("good", token)


@given(at=st.integers(0, 55), bit=st.integers(0, 7))
def test_a_secret_with_any_bit_changed_is_nobodys(at: int, bit: int) -> None:
    secret, token = made()
    changed = bytearray(secret.encode())
    changed[at] ^= 1 << bit
    assert TokenBook([token]).judge(bytes(changed), NOW) == ("unknown", None)


@given(st.binary(max_size=200))
def test_whatever_is_presented_a_stranger_is_unknown(secret: bytes) -> None:
    assert TokenBook([made()[1]]).judge(secret, NOW) == ("unknown", None)
    assert TokenBook().judge(secret, NOW) == ("unknown", None)


def test_revoked_and_expired_are_told_apart_and_a_remembered_secret_expires_too() -> None:
    secret, token = made(expires_at=NOW + 10)
    book = TokenBook([token])
    assert book.judge(secret.encode(), NOW)[0] == "good"
    assert book.judge(secret.encode(), NOW + 10)[0] == "expired"
    assert TokenBook(revoked([token], "ci", NOW)).judge(secret.encode(), NOW)[0] == "revoked"
    assert pruned([token], NOW + 10) == ()


@given(st.sets(st.sampled_from(ROLES), min_size=1), st.sampled_from(ROLES), st.sampled_from(["a", "b", ""]))
def test_a_token_allows_its_roles_on_its_models_alone(given_roles: set[str], role: str, model: str) -> None:
    _, token = made(roles=sorted(given_roles), models=("a",))
    assert token.allows(role, model) == (role in given_roles and model != "b")  # type: ignore[arg-type]
    _, anywhere = made(roles=sorted(given_roles))
    assert anywhere.allows(role, model) == (role in given_roles)  # type: ignore[arg-type]


def test_names_are_unique_until_revoked_and_the_number_is_bounded() -> None:
    _, first = made()
    _, second = made(2)
    with pytest.raises(Conflict):
        with_token([first], second)
    assert with_token(revoked([first], first.id, NOW), second)[1] is second
    with pytest.raises(NotFound):
        revoked([first], "nobody", NOW)
    many = [replace(first, id=str(number), name=f"t{number}") for number in range(MAX_TOKENS)]
    with pytest.raises(InvalidValue):
        with_token(many, second)


def test_revoking_twice_keeps_the_first_time() -> None:
    _, token = made()
    again = revoked(revoked([token], "ci", NOW), "ci", NOW + 5)
    assert again[0].revoked_at == NOW


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "Bad Name"}, {"name": "ok", "models": ()}, {"name": "ok", "models": ("Bad/Name",)},
        {"name": "ok", "roles": ("root",)}, {"name": "ok", "roles": ()}, {"name": "ok", "expires_at": NOW},
        {"name": "ok", "models": tuple(f"m{n}" for n in range(101))},
    ],
)  # fmt: skip
def test_a_token_that_cannot_be_is_not_made(wanted: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        made(**wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [(-1.0, 0, 1), (0.0, -1, 1), (0.0, 0, 0), (float("nan"), 0, 1)])
def test_an_allowance_that_cannot_be_is_refused(numbers: tuple[float, int, int]) -> None:
    with pytest.raises(InvalidValue):
        Allowance(rate=numbers[0], budget=numbers[1], period_s=numbers[2])


def test_tokens_survive_their_file() -> None:
    tokens = (
        made(1, "a", models=("x", "y"), roles=("admin",), allowance=Allowance(rate=2.5, budget=10, period_s=60))[1],
        made(2, "b", expires_at=NOW + 1)[1],
    )
    assert from_bytes(to_bytes(tokens)) == tokens


def test_a_touched_file_is_damaged_never_guessed() -> None:
    good = json.loads(to_bytes([made()[1]]))
    one = good["tokens"][0]
    bad: list[object] = [
        [], {}, {**good, "format": "other"}, {**good, "tokens": [one, one]},
        *({**good, "tokens": [{**one, key: value}]} for key, value in (
            ("sha256", "00"), ("sha256", 5), ("roles", ["root"]), ("models", [5]), ("expires_at", -1),
            ("expires_at", "never"), ("extra", 1), ("allowance", [1]), ("revoked_at", True),
        )),
        *({**good, "tokens": [{k: v for k, v in one.items() if k != key}]} for key in one),
    ]  # fmt: skip
    for document in bad:
        with pytest.raises(Damaged):
            from_bytes(json.dumps(document).encode())
    with pytest.raises(Damaged):
        from_bytes(b"\xff{")


def test_a_book_says_which_roles_are_held() -> None:
    _, token = made(roles=("admin",), expires_at=NOW + 10)
    assert TokenBook([token]).holds("admin", NOW)
    assert not TokenBook([token]).holds("admin", NOW + 10)
    assert not TokenBook([token]).holds("predict", NOW)
    assert roles_of(["admin"]) == {"admin"}
