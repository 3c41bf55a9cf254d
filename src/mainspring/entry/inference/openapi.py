"""The public port's OpenAPI 3.1 document, and a page of it: made from the route table and from the codecs' structs.

What we define ourselves (labels, probes, errors) is described whole; a foreign protocol's request is described as far
as this server reads it, and its own specification says the rest.
"""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec

import mainspring
from mainspring.entry.inference.routes import PLACE, SEGMENTS, Route
from mainspring.serve.protocols import CODECS
from mainspring.serve.protocols.feedback import Posting, Postings, Received
from mainspring.serve.protocols.v1 import Predictions
from mainspring.serve.protocols.v2_answers import Response
from mainspring.serve.protocols.v2_requests import Parameters, Plain, Request

JSON = "application/json"
_TEXT = "text/plain"
_REF = "#/components/schemas/{name}"


class Refusal(msgspec.Struct):
    """Why there is no answer: what happened, a code that stays the same, and what to do."""

    error: str
    code: str
    fix: str


class Live(msgspec.Struct):
    """The process answers."""

    live: Literal[True]


class Ready(msgspec.Struct):
    """The server wants requests."""

    ready: Literal[True]


class Started(msgspec.Struct):
    """The releases were read for the first time."""

    started: Literal[True]


class ModelReady(msgspec.Struct):
    """The model answers."""

    name: str
    ready: Literal[True]


class Server(msgspec.Struct):
    """What the server is, and the models that it answers for."""

    name: str
    version: str
    extensions: list[str]
    models: list[str]


class Models(msgspec.Struct):
    """The models that the server answers for."""

    models: list[str]


class V1Request(msgspec.Struct):
    """KServe's V1: rows as objects by input name, or as lists in the contract's order."""

    instances: list[dict[str, Plain] | list[Plain] | int | float | str | bool | None]
    parameters: Parameters | None = None


class Foreign(msgspec.Struct):
    """A document of another project's protocol: Seldon's SeldonMessage, or MLflow's scoring request."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a handler does. gives: its answer; dict is any object, str is text. takes: the bodies that it reads."""

    summary: str
    gives: Any
    takes: tuple[Any, ...] = ()


_PROBE = "Probe of other servers: 200 when every model answers"
OPERATIONS: Mapping[str, Operation] = {
    "live": Operation("Tell that the process answers", Live),
    "ready": Operation("Tell whether every model answers", Ready),
    "started": Operation("Tell whether the releases were read", Started),
    "up": Operation(_PROBE, str),
    "version": Operation("Tell the server's version", str),
    "server": Operation("Describe the server", Server),
    "model": Operation("Describe a model's inputs and output", dict[str, Any]),
    "model_ready": Operation("Tell whether a model answers", ModelReady),
    "v1_models": Operation("List the models", Models),
    "predict.v2": Operation("Score rows: Open Inference Protocol", Response, (Request[list[Plain | list[Plain]]],)),
    "predict.v1": Operation("Score rows: KServe V1", Predictions, (V1Request,)),
    "predict.seldon": Operation("Score rows: Seldon Core 1.x", dict[str, Any], (Foreign,)),
    "predict.mlflow": Operation("Score rows: MLflow's scoring server", Predictions, (Foreign,)),
    "explain.v1": Operation("Explain scores: KServe V1", dict[str, Any], (V1Request,)),
    "feedback.ours": Operation("Say what came true, by prediction id", Received, (Posting, Postings)),
    "feedback.seldon": Operation("Say what came true: Seldon's Feedback", dict[str, Any], (Foreign,)),
    "docs": Operation("This document", dict[str, Any]),
    "page": Operation("This document as a page", str),
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a port's routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.pattern, {})[route.method.lower()] = _operation(route)
    kinds = [kind for told in OPERATIONS.values() for kind in (told.gives, *told.takes) if kind is not str]
    kinds.append(Refusal)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "mainspring", "version": mainspring.__version__,
            "description": "Predictions in four protocols, and labels. Errors are {error, code, fix}.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "mainspring tokens create"}},
        },
    }  # fmt: skip
    return _short_names(whole, schemas)


@cache
def encoded(routes: tuple[Route, ...]) -> bytes:
    """Return the document as JSON."""
    return json.dumps(document(routes), separators=(",", ":")).encode("ascii")


@cache
def page(routes: tuple[Route, ...]) -> bytes:
    """Return the document as one page of HTML that loads nothing."""
    rows = []
    for route in routes:
        body = " or ".join(_media(route)) if OPERATIONS[route.handler].takes else ""
        cells = (route.method, route.pattern, OPERATIONS[route.handler].summary, body, route.policy)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    schemas = document(routes)["components"]["schemas"]
    shown = "".join(
        f"<h3>{html.escape(name)}</h3><pre>{html.escape(json.dumps(schema, indent=1))}</pre>"
        for name, schema in sorted(schemas.items())
    )
    head = "<tr><th>Method</th><th>Path</th><th>Does</th><th>Body</th><th>Needs</th></tr>"
    return _PAGE.format(version=mainspring.__version__, rows=head + "".join(rows), schemas=shown).encode("utf-8")


def _operation(route: Route) -> dict[str, Any]:
    told = OPERATIONS[route.handler]
    found: dict[str, Any] = {
        "summary": told.summary, "operationId": f"{route.method.lower()}{route.pattern.replace('/', '_')}",
        "tags": [route.policy],
        "responses": {
            "200": {"description": "The answer", "content": _content(told.gives, route)},
            "4XX": {"description": "Refused", "content": {JSON: {"schema": _schema(Refusal)}}},
            "503": {"description": "Try again", "content": {JSON: {"schema": _schema(Refusal)}}},
        },
    }  # fmt: skip
    names = PLACE.findall(route.pattern)
    if names:
        found["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": f"^{SEGMENTS[name]}$"},
            }
            for name in names
        ]
    if told.takes:
        media = {
            kind: {"schema": _schema(*told.takes) if kind == JSON else {"type": "string"}} for kind in _media(route)
        }
        found["requestBody"] = {"required": True, "content": media}
    if route.policy != "open":
        found["security"] = [{}, {"key": []}]  # no key where the project has none
    return found


def _media(route: Route) -> tuple[str, ...]:
    codec = CODECS.get(route.handler.removeprefix("predict."))
    return (JSON,) if codec is None else codec.media


def _content(gives: Any, route: Route) -> dict[str, Any]:  # noqa: ANN401 - a type of any form
    if gives is str:
        return {"text/html" if route.handler == "page" else _TEXT: {"schema": {"type": "string"}}}
    return {JSON: {"schema": _schema(gives)}}


def _schema(*kinds: Any) -> dict[str, Any]:  # noqa: ANN401
    found, _ = msgspec.json.schema_components(kinds, ref_template=_REF)
    return found[0] if len(found) == 1 else {"anyOf": list(found)}


def _short_names(whole: dict[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with the names of generic structs cut to their own: `Request_list_int...` is `Request`."""
    text = json.dumps(whole)
    for name in sorted(schemas, key=len, reverse=True):
        if "_" in name:
            text = text.replace(f'{name}"', f'{name.partition("_")[0]}"')
    shortened: dict[str, Any] = json.loads(text)
    return shortened


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>mainspring</title>
<style>
body{{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}}
table{{border-collapse:collapse}}
td,th{{border-bottom:1px solid #ccc;padding:.3em .8em .3em 0;text-align:left}}
pre{{background:#f6f6f6;padding:1em;overflow:auto}}
</style>
<h1>mainspring {version}</h1>
<p>For machines: <a href="/docs">/docs</a> (OpenAPI 3.1). Errors are <code>{{error, code, fix}}</code>.</p>
<table>{rows}</table><h2>Documents</h2>{schemas}</html>
"""
