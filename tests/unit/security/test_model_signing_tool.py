"""The reference tool of OpenSSF Model Signing v1.0 and this package accept each other's signatures."""

import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.adapters.files.models import ModelStore
from mainspring.deliver.ports import SIGNATURE
from mainspring.security.manifests import manifest_of
from mainspring.security.signing import SignatureRefused, key_id, new_key, public_of, sign, verify

pytestmark = pytest.mark.tools
FILES = {"contract.json": b"{}", "deep/profile.json": b"[]", "deep.json": b"1"}


def tool(*args: str | Path) -> subprocess.CompletedProcess[bytes]:
    pytest.importorskip("model_signing")
    command = [sys.executable, "-W", "ignore", "-m", "model_signing", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False)


def test_the_tool_verifies_our_bundle(tmp_path: Path) -> None:
    private = new_key()
    store = ModelStore(tmp_path / "models")
    digest = store.add(FILES)
    store.attest(digest, SIGNATURE, sign(manifest_of(FILES), private, "m"))
    folder = store.folder(digest)
    (tmp_path / "key.pub").write_bytes(public_of(private))
    asked = ("verify", "key", folder / "files", "--signature", folder / SIGNATURE, "--public_key", tmp_path / "key.pub")
    done = tool(*asked)
    assert done.returncode == 0, done.stderr
    (folder / "files" / "contract.json").write_bytes(b"{ }")
    assert tool(*asked).returncode != 0


def test_we_verify_the_tools_bundle(tmp_path: Path) -> None:
    private = new_key()
    (tmp_path / "key.pem").write_bytes(private)
    for name, data in FILES.items():
        place = tmp_path / "model" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    signature = tmp_path / "model.sig"
    done = tool("sign", "key", tmp_path / "model", "--signature", signature, "--private_key", tmp_path / "key.pem")
    assert done.returncode == 0, done.stderr
    public = public_of(private)
    trusted = {key_id(public): public}
    assert verify(signature.read_bytes(), manifest_of(FILES), trusted) == key_id(public)
    with pytest.raises(SignatureRefused):
        verify(signature.read_bytes(), manifest_of(FILES | {"contract.json": b"{ }"}), trusted)
