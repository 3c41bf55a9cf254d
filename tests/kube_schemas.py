"""Validate any Kubernetes object strictly: core kinds by the schemas that kubernetes-validate ships, custom by ours.

The schemas are read from the tools' environment and compiled once here, for one run of the program itself takes 0.15 s
a document; `test_the_programs_own_word` in test_whole_tree.py asks it too. UNVERIFIED lists the kinds that have no
schema on any registry that the project may use; a kind is either known or listed.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from tests import crd_schemas, tools

VERSION = "1.37.0"
UNVERIFIED = {
    (
        "keda.sh/v1alpha1",
        "ScaledObject",
    ): "types only, by @kubernetes-models (test_unverified_kinds.py): unknown fields pass",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): "types only, likewise",
    ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"): "types only, likewise",
    ("postgresql.cnpg.io/v1", "Cluster"): "no schema of CloudNativePG's on these registries",
    ("mlops.seldon.io/v1alpha1", "Model"): "Seldon Core v2 is under the Business Source License",
    ("mlops.seldon.io/v1alpha1", "Experiment"): "Seldon Core v2 is under the Business Source License",
}


def mistakes(document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with one object; [] if it is right. Raises LookupError for an unknown, unlisted kind."""
    named = str(document.get("apiVersion")), str(document.get("kind"))
    if named in UNVERIFIED:
        return []
    if crd_schemas.known(document):
        return crd_schemas.mistakes(document)
    found = _core(*named).iter_errors(document)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message[:200]}" for error in found]


def check(documents: Iterable[Mapping[str, Any]]) -> int:
    """Assert that every document is right; return how many were judged."""
    count = 0
    for count, document in enumerate(documents, start=1):  # noqa: B007 - the count is the answer
        assert mistakes(document) == [], f"{document['kind']} {document['metadata']}"
    return count


@cache
def _folder() -> Path:
    (packages,) = (tools.environment("delivery") / "lib").glob("python3*/site-packages")
    return packages / "kubernetes_validate" / "kubernetes-json-schema" / f"v{VERSION}-local-strict"


@cache
def _core(api: str, kind: str) -> Any:  # noqa: ANN401 - a compiled validator
    group, _, version = api.rpartition("/")
    words = [kind.lower(), *([group.split(".")[0]] if group else []), version]
    path = _folder() / f"{'-'.join(words)}.json"
    if not path.is_file():
        raise LookupError(f"{api} {kind} has no schema and is not listed as unverified")
    return jsonschema_rs.validator_for(json.loads(path.read_text()), base_uri="local:/", retriever=_fetched)


def _fetched(uri: str) -> Any:  # noqa: ANN401 - a schema
    return json.loads((_folder() / uri.rpartition("/")[2]).read_text())
