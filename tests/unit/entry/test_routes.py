"""The route tables: closed by default, every route with a policy, nothing of a path reflected."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serve.serving_kit import Parts, RealClock, fleet_of

from mainspring.entry.inference.access import Gate, KeyRing, NoTokens
from mainspring.entry.inference.admin import AdminApp, Seen
from mainspring.entry.inference.desk import Desk
from mainspring.entry.inference.http import PublicApp
from mainspring.entry.inference.metrics import Metrics, MetricsApp
from mainspring.entry.inference.probes import Probes
from mainspring.entry.inference.routed import RoutedApp
from mainspring.entry.inference.routes import ADMIN, METRICS, PUBLIC, Route, RouteTable
from mainspring.security.tokens import ROLES
from mainspring.serve.errors import UnknownModel, UnknownRoute, WrongMethod
from mainspring.serve.log import PredictionLog

TABLES = {"public": PUBLIC, "admin": ADMIN, "metrics": METRICS}
OPEN = {"live", "ready", "started", "up", "docs", "page"}


class Nowhere:
    """A log writer that keeps nothing."""

    def write(self, chunks: object, /) -> None:
        return

    def sync(self) -> None:
        return

    def close(self) -> None:
        return


@pytest.fixture(scope="module")
def apps() -> Iterator[dict[str, RoutedApp]]:
    parts, log = Parts(), PredictionLog(Nowhere())
    fleet = fleet_of(parts, log)
    probes, gate = Probes(fleet), Gate(KeyRing(NoTokens(), RealClock()), always=True)
    desk = Desk(fleet, gate)
    yield {
        "public": PublicApp(desk, probes).app,
        "admin": AdminApp(Seen(fleet=fleet, desk=desk, probes=probes), gate).app,
        "metrics": MetricsApp(Metrics(desk, probes), probes, desk, gate).app,
    }
    log.close()


@pytest.mark.parametrize("port", TABLES)
def test_every_live_route_has_a_known_policy_and_a_handler(apps: dict[str, RoutedApp], port: str) -> None:
    routes = apps[port].table.routes
    assert routes == TABLES[port]
    for route in routes:
        assert route.policy in ("open", *ROLES), route
        assert route.handler in apps[port].handlers, route
        assert (route.policy == "open") == (route.handler in OPEN), route


@pytest.mark.parametrize("port", TABLES)
def test_a_port_offers_only_what_belongs_to_it(port: str) -> None:
    allowed = {
        "public": {"open", "predict", "metadata", "label"}, "admin": {"open", "admin"}, "metrics": {"open", "metrics"},
    }  # fmt: skip
    assert {route.policy for route in TABLES[port]} <= allowed[port]


def test_a_route_without_a_handler_or_twice_in_the_table_is_an_error_at_start(apps: dict[str, RoutedApp]) -> None:
    one = Route("GET", "/x", "admin", "state")
    with pytest.raises(ValueError, match="twice"):
        RouteTable([one, one])
    app = apps["admin"]
    with pytest.raises(ValueError, match="differ"):
        RoutedApp(RouteTable([one]), app.gate, {}, lambda error: UnknownRoute(str(error), fix=""))


def example(pattern: str) -> bytes:
    for place, value in (("model", "a-model"), ("version", "3"), ("namespace", "ns"), ("deployment", "dep")):
        pattern = pattern.replace(f"{{{place}}}", value)
    return pattern.encode()


@pytest.mark.parametrize(("port", "route"), [(port, route) for port, routes in TABLES.items() for route in routes])
def test_a_route_is_found_by_its_own_path_and_no_neighbour_of_it(port: str, route: Route) -> None:
    table, path = RouteTable(TABLES[port]), example(route.pattern)
    assert table.find(route.method, path)[0] is route
    if route.method == "GET":
        assert table.find("HEAD", path)[0] is route
    for other in (path + b"/", b"/" + path, path + b"%00", path.upper(), path.replace(b"/", b"%2f"), path + b"?x"):
        with pytest.raises(UnknownRoute):
            table.find(route.method, other)
    with pytest.raises(WrongMethod) as refused:
        table.find("PATCH", path)
    assert route.method in refused.value.allow.split(", ")
    assert ("HEAD" in refused.value.allow) == ("GET" in refused.value.allow)


@pytest.mark.parametrize("word", ["abc", "0", "01", "-1", "1.0", "1234567890"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("GET", "/ready"), ("POST", "/infer")])
def test_a_word_for_a_version_is_no_version_where_models_are_served(word: str, method: str, rest: str) -> None:
    path = f"/v2/models/a-model/versions/{word}{rest}".encode()
    with pytest.raises(UnknownModel, match="no version") as refused:
        RouteTable(PUBLIC).find(method, path)
    assert (refused.value.status, refused.value.code) == (404, "model.unknown")
    with pytest.raises(UnknownRoute):
        RouteTable(ADMIN).find(method, path)


@given(st.binary(max_size=60), st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"]))
def test_any_other_path_is_unknown_and_nothing_of_it_is_said(path: bytes, method: str) -> None:
    for routes in TABLES.values():
        if path in {example(route.pattern) for route in routes}:
            continue
        with pytest.raises(UnknownRoute) as refused:
            RouteTable(routes).find(method, b"/" + path)
        assert str(refused.value) == str(UnknownRoute("no such path on this port", fix="see docs/serving.md"))
