"""Write an estimator as a skops file whose bytes depend on nothing but the estimator, and open one by an allow-list.

skops numbers its parts by memory address and stamps its zip with the time; here they are counted in the order of the
schema and the stamps are those of 1980, so the same training anywhere gives the same digest.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

from mainspring.develop.errors import NotConvertible
from mainspring.kernel.errors import MainspringError, Refused
from mainspring.security.skops_files import SCHEMA, NotSkops, walk

_EPOCH = (1980, 1, 1, 0, 0, 0)


class SkopsMissing(MainspringError):
    """Models that run as Python need an extra that is not installed."""

    code = "skops.missing"


class TypesRefused(Refused):
    """A model contains types that nobody allowed."""

    code = "model.types"


def saved(estimator: object, trust: Sequence[str]) -> bytes:
    """Return the file of an estimator. Raises `NotConvertible` where skops cannot write it, `TypesRefused`."""
    skops = _skops()
    try:
        data = _canonical(skops.dumps(estimator))
        walk(data)
    except NotSkops as error:
        raise NotConvertible(f"its skops file is not acceptable: {error}", fix="use another estimator") from error
    except Exception as error:  # skops meets foreign objects
        what = f"{type(estimator).__name__} cannot be saved by skops: {type(error).__name__}: {str(error)[:200]}"
        raise NotConvertible(what, fix="use an estimator of scikit-learn's own parts") from error
    _allow(skops, data, trust)
    return data


def loaded(data: bytes, trust: Sequence[str]) -> Any:  # noqa: ANN401 - an estimator
    """Return the estimator; raise `TypesRefused` before anything is constructed."""
    try:
        walk(data)
    except NotSkops as error:
        raise TypesRefused(f"the model's skops file is not acceptable: {error}", fix="train it again") from error
    skops = _skops()
    return skops.loads(data, trusted=_allow(skops, data, trust))


def _allow(skops: Any, data: bytes, trust: Sequence[str]) -> list[str]:  # noqa: ANN401 - a module
    wanted = skops.get_untrusted_types(data=data)
    refused = sorted(set(wanted) - set(trust))
    if refused:
        raise TypesRefused(
            f"the model contains {', '.join(refused)[:300]}",
            fix="allow them by name if you trust them: training.trust in the project file, trust in serving.yaml",
        )
    return list(wanted)


def _skops() -> Any:  # noqa: ANN401 - a module
    try:
        import skops.io
    except ImportError as error:
        raise SkopsMissing("this model runs as Python, by skops", fix="pip install 'mainspring[skops]'") from error
    return skops.io


def _canonical(data: bytes) -> bytes:
    """Return the same file with its parts counted and its stamps fixed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names: dict[str, str] = {}
        schema = _renamed(json.loads(archive.read(SCHEMA)), {}, names)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as target:
            parts = {SCHEMA: json.dumps(schema, separators=(",", ":")).encode()}
            parts |= {new: archive.read(old) for old, new in names.items()}
            for name, content in parts.items():
                target.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return made.getvalue()


def _renamed(node: Any, ids: dict[int, int], names: dict[str, str]) -> Any:  # noqa: ANN401 - JSON is any of these
    if isinstance(node, list):
        return [_renamed(value, ids, names) for value in node]
    if not isinstance(node, dict):
        return node
    changed = dict(node)
    if isinstance(node.get("__id__"), int):
        changed["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
    if isinstance(node.get("file"), str):
        changed["file"] = names.setdefault(node["file"], f"{len(names) + 1}.{node['file'].rpartition('.')[2]}")
    return {
        name: value if name in ("__id__", "file") else _renamed(value, ids, names) for name, value in changed.items()
    }
