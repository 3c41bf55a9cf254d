"""Every route of every port in one table, closed by default: what is not written here answers 404.

A route says which *policy* lets a request in: `open` needs no key; `predict`, `label`, `metadata`, `metrics` and
`admin` need one with that role, on the path's model where it names one. Paths are compared as they arrive:
percent-encoded forms of them are other paths, and unknown.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mainspring.security.tokens import Role
from mainspring.serve.errors import UnknownModel, UnknownRoute, WrongMethod

Policy = Literal["open"] | Role
SEGMENTS: Mapping[str, str] = {
    "model": "[A-Za-z0-9_.-]{1,128}", "version": "[1-9][0-9]{0,8}",
    "namespace": "[a-z0-9][a-z0-9.-]{0,62}", "deployment": "[a-z0-9][a-z0-9.-]{0,62}",
}  # fmt: skip
PLACE = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. pattern: with {model}, {version}, {namespace} or {deployment}. handler: its name.

    A handler called `predict.NAME` answers predictions in the protocol NAME; `feedback.NAME` takes labels in that form.
    """

    method: str
    pattern: str
    policy: Policy
    handler: str


_PROBES = (
    Route("GET", "/livez", "open", "live"),
    Route("GET", "/readyz", "open", "ready"),
    Route("GET", "/startupz", "open", "started"),
)

PUBLIC = (
    *_PROBES,
    Route("GET", "/v2", "metadata", "server"),
    Route("GET", "/v2/health/live", "open", "live"),
    Route("GET", "/v2/health/ready", "open", "ready"),
    Route("GET", "/v2/models/{model}", "metadata", "model"),
    Route("GET", "/v2/models/{model}/ready", "metadata", "model_ready"),
    Route("GET", "/v2/models/{model}/versions/{version}", "metadata", "model"),
    Route("GET", "/v2/models/{model}/versions/{version}/ready", "metadata", "model_ready"),
    Route("POST", "/v2/models/{model}/infer", "predict", "predict.v2"),
    Route("POST", "/v2/models/{model}/versions/{version}/infer", "predict", "predict.v2"),
    Route("GET", "/v1/models", "metadata", "v1_models"),
    Route("GET", "/v1/models/{model}", "metadata", "model_ready"),
    Route("POST", "/v1/models/{model}:predict", "predict", "predict.v1"),
    Route("POST", "/v1/models/{model}:explain", "predict", "explain.v1"),
    Route("POST", "/api/v1.0/predictions", "predict", "predict.seldon"),
    Route("POST", "/seldon/{namespace}/{deployment}/api/v1.0/predictions", "predict", "predict.seldon"),
    Route("POST", "/v1/feedback", "label", "feedback.ours"),
    Route("POST", "/v1/models/{model}:feedback", "label", "feedback.ours"),
    Route("POST", "/api/v1.0/feedback", "label", "feedback.seldon"),
    Route("POST", "/seldon/{namespace}/{deployment}/api/v1.0/feedback", "label", "feedback.seldon"),
    Route("GET", "/health/status", "open", "up"),
    Route("GET", "/health/ping", "open", "up"),
    Route("POST", "/invocations", "predict", "predict.mlflow"),
    Route("GET", "/ping", "open", "up"),
    Route("GET", "/health", "open", "up"),
    Route("GET", "/version", "metadata", "version"),
    Route("GET", "/docs", "open", "docs"),
    Route("GET", "/docs/page", "open", "page"),
)

ADMIN = (
    *_PROBES,
    Route("GET", "/admin/state", "admin", "state"),
    Route("POST", "/admin/flush", "admin", "flush"),
    Route("POST", "/admin/reconcile", "admin", "reconcile"),
    Route("POST", "/admin/clock", "admin", "clock"),
    Route("POST", "/v2/repository/index", "admin", "index"),
    Route("POST", "/v2/repository/models/{model}/load", "admin", "load"),
    Route("POST", "/v2/repository/models/{model}/unload", "admin", "unload"),
)

METRICS = (*_PROBES, Route("GET", "/metrics", "metrics", "metrics"))


class RouteTable:
    """Finds the route of a method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed: dict[bytes, dict[str, Route]] = {}
        self._shaped: dict[re.Pattern[bytes], dict[str, Route]] = {}
        self._misnumbered = [
            _compiled(route.pattern, {**SEGMENTS, "version": SEGMENTS["model"]})
            for route in self.routes if "{version}" in route.pattern
        ]  # fmt: skip
        for route in self.routes:
            if PLACE.search(route.pattern):
                methods = self._shaped.setdefault(_compiled(route.pattern), {})
            else:
                methods = self._fixed.setdefault(route.pattern.encode("ascii"), {})
            if route.method in methods:
                raise ValueError(f"{route} stands twice in the table")
            methods[route.method] = route

    def find(self, method: str, path: bytes) -> tuple[Route, dict[str, str]]:
        """Return the route and what the path's places hold; raise what they are not. HEAD is GET.

        Raises `UnknownRoute`, `WrongMethod`, or `UnknownModel` where a word stands for a version.
        """
        methods, places = self._looked_up(path)
        if methods is None:
            if any(pattern.fullmatch(path) for pattern in self._misnumbered):
                raise UnknownModel("that is no version: they are numbers from 1", fix="see GET /v2/models/NAME")
            raise UnknownRoute("no such path on this port", fix="see docs/serving.md")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            taken = {*methods, "HEAD"} if "GET" in methods else methods
            raise WrongMethod("this path does not take that method", allow=", ".join(sorted(taken)))
        return route, places

    def _looked_up(self, path: bytes) -> tuple[dict[str, Route] | None, dict[str, str]]:
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, {}
        for pattern, shaped in self._shaped.items():
            found = pattern.fullmatch(path)
            if found:
                return shaped, {name: value.decode("ascii") for name, value in found.groupdict().items()}
        return None, {}


def _compiled(pattern: str, segments: Mapping[str, str] = SEGMENTS) -> re.Pattern[bytes]:
    parts, at = [], 0
    for place in PLACE.finditer(pattern):
        parts += [re.escape(pattern[at : place.start()]), f"(?P<{place[1]}>{segments[place[1]]})"]
        at = place.end()
    parts.append(re.escape(pattern[at:]))
    return re.compile("".join(parts).encode("ascii"))
