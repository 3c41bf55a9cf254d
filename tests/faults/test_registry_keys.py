"""Keys on disk: made once, private, trusted only where a committed file says so; what is odd is refused."""

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainspring.adapters.files.keys import Keys
from mainspring.kernel.errors import InvalidValue
from mainspring.security.keys import InvalidKey, key_id, new_key, public_of


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "state", tmp_path / "project")


def test_the_first_use_makes_one_private_key_even_for_many_callers(keys: Keys, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: keys.signing_key(), range(16)))) == 1
    folder = tmp_path / "state" / "keys"
    assert sorted(path.name for path in folder.iterdir()) == ["signing.pem", "signing.pub"]
    if sys.platform != "win32":
        assert stat.S_IMODE((folder / "signing.pem").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_only_the_local_environment_trusts_this_machines_key_by_itself(keys: Keys) -> None:
    assert keys.trusted("local") == {}
    public = public_of(keys.signing_key())
    assert keys.trusted("local") == {key_id(public): public}
    assert keys.trusted("production") == {}
    assert keys.trust("production", public) == key_id(public)
    assert keys.trusted("production") == {key_id(public): public}
    assert keys.trusted("staging") == {}


def test_a_server_without_the_private_half_still_trusts(keys: Keys, tmp_path: Path) -> None:
    keys.signing_key()
    (tmp_path / "state" / "keys" / "signing.pem").unlink()
    assert len(keys.trusted("local")) == 1


def test_a_new_key_replaces_the_old_which_is_kept(keys: Keys) -> None:
    old = key_id(public_of(keys.signing_key()))
    new = keys.create()
    assert new != old
    assert list(keys.trusted("local")) == [new]
    assert [info.where for info in keys.list()] == ["own"]


def test_a_private_key_a_link_or_noise_among_the_trusted_is_refused(keys: Keys, tmp_path: Path) -> None:
    trust = tmp_path / "project" / "environments" / "production" / "trust"
    trust.mkdir(parents=True)
    for content in (new_key(), b"noise", b""):
        (trust / "a.pem").write_bytes(content)
        with pytest.raises(InvalidKey, match=r"a\.pem"):
            keys.trusted("production")
    with pytest.raises(InvalidKey):
        keys.trust("production", new_key())
    (trust / "a.pem").unlink()
    if sys.platform != "win32":
        (tmp_path / "real.pem").write_bytes(public_of(new_key()))
        (trust / "a.pem").symlink_to(tmp_path / "real.pem")
        with pytest.raises(InvalidValue, match="not a key file"):
            keys.trusted("production")


@pytest.mark.parametrize("environment", ["../x", "", "/etc", "a/b"])
def test_an_environment_never_becomes_a_path(keys: Keys, environment: str) -> None:
    with pytest.raises(InvalidValue):
        keys.trusted(environment)
