"""Validate custom resources strictly: unknown fields are mistakes. The schemas are a copy made by scripts/crds.py."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

FOLDER = Path(__file__).resolve().parent / "crds"


@cache
def _validators() -> dict[tuple[str, str], jsonschema_rs.Draft202012Validator]:
    found = {}
    for path in FOLDER.glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        kind = schema["properties"]["apiVersion"]["const"], schema["properties"]["kind"]["const"]
        found[kind] = jsonschema_rs.Draft202012Validator(schema)
    return found


def known(document: Mapping[str, Any]) -> bool:
    """Tell whether there is a schema for the document's kind."""
    return (document.get("apiVersion"), document.get("kind")) in _validators()


def mistakes(document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with one custom resource; [] if it is right. KeyError for a kind without a schema."""
    validator = _validators()[document["apiVersion"], document["kind"]]
    return [
        f"{'.'.join(map(str, error.instance_path))}: {error.message[:200]}" for error in validator.iter_errors(document)
    ]


def check(documents: Iterable[Mapping[str, Any]]) -> int:
    """Assert that every document of a known kind is right; return how many were judged."""
    judged = 0
    for document in documents:
        if known(document):
            judged += 1
            assert mistakes(document) == [], f"{document['kind']} {document['metadata']}"
    return judged
