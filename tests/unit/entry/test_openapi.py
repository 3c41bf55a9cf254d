"""The OpenAPI document describes every public route and every document of it, and its page loads nothing."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mainspring.entry.inference import openapi
from mainspring.entry.inference.routes import PUBLIC

DOCUMENT: dict[str, Any] = json.loads(openapi.encoded(PUBLIC))


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_public_route_is_described_with_what_it_needs() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method, route.pattern) for route in PUBLIC}
    for route in PUBLIC:
        operation = DOCUMENT["paths"][route.pattern][route.method.lower()]
        assert ("security" in operation) == (route.policy != "open"), route
        assert ("requestBody" in operation) == (route.method == "POST"), route
        places = {parameter["name"] for parameter in operation.get("parameters", ())}
        assert places == set(re.findall(r"\{([a-z]+)\}", route.pattern)), route


def test_every_reference_leads_to_a_schema_with_a_short_name() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    found = set(references(DOCUMENT))
    assert found <= {f"#/components/schemas/{name}" for name in schemas}
    assert found
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) for name in schemas)


def test_operation_names_are_unique_and_an_unknown_handler_is_an_error() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert {route.handler for route in PUBLIC} <= openapi.OPERATIONS.keys()


def test_the_page_names_every_path_and_loads_nothing() -> None:
    page = openapi.page(PUBLIC).decode()
    assert all(route.pattern in page for route in PUBLIC)
    assert not re.search(r"<(script|link|img|iframe|object)\b|https?://|url\(|@import", page)
