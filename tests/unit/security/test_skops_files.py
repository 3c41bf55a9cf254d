"""A skops file has one shape; whatever else calls itself one is refused before anything is constructed."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from mainspring.security.artifacts import ArtifactRefused, audit
from mainspring.security.skops_files import NotSkops, walk
from mainspring.stats.columns import Array

NODE = {"__class__": "LogisticRegression", "__module__": "sklearn.linear_model", "content": {"file": "1.npy"}}


def _array(values: Array) -> bytes:
    made = io.BytesIO()
    np.save(made, values, allow_pickle=True)
    return made.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


GOOD = {"schema.json": json.dumps(NODE).encode(), "1.npy": _array(np.arange(3.0))}


def test_a_good_file_tells_its_types() -> None:
    assert walk(_zip(GOOD)) == ("sklearn.linear_model.LogisticRegression",)
    audit("model.skops", _zip(GOOD))


BAD: dict[str, bytes] = {
    "a pickle, which skops hands to joblib": pickle.dumps({"a": 1}, protocol=4),
    "no schema": _zip({"1.npy": GOOD["1.npy"]}),
    "a pickle as an array": _zip({**GOOD, "1.npy": pickle.dumps([1], protocol=4)}),
    "an array of objects": _zip({**GOOD, "1.npy": _array(np.array([{}, []], dtype=object))}),
    "a record with an object": _zip({**GOOD, "1.npy": _array(np.array([(1, None)], dtype=[("a", "<i4"), ("b", "O")]))}),
    "a path upwards": _zip({**GOOD, "../1.npy": GOOD["1.npy"]}),
    "a program": _zip({**GOOD, "run.py": b"import os"}),
    "a schema that is no JSON": _zip({**GOOD, "schema.json": b"{"}),
    "a schema without an end": _zip({**GOOD, "schema.json": b"[" * 5_000 + b"]" * 5_000}),
    "half a file": _zip(GOOD)[: len(_zip(GOOD)) // 2],
    "a large file in few bytes": b"",
}


def _bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", GOOD["schema.json"])
        archive.writestr("1.npy", bytes(300 << 20))
    return made.getvalue()


@pytest.mark.parametrize("why", BAD)
def test_whatever_else_is_refused(why: str) -> None:
    data = BAD[why] or _bomb()
    with pytest.raises(NotSkops):
        walk(data)
    with pytest.raises(ArtifactRefused):
        audit("model.skops", data)


def test_a_name_twice_is_refused() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("schema.json", "1.npy"):
            archive.writestr(name, GOOD[name])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("1.npy", GOOD["1.npy"])
    with pytest.raises(NotSkops, match="twice"):
        walk(made.getvalue())
