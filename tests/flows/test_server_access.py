"""Keys and ports over real sockets: who gets in where, and what is refused before the server starts."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.entry.test_routes import Nowhere, example
from tests.unit.serve.serving_kit import MODEL, Parts, RealClock, RunningServer, body, fleet_of, running

from mainspring.adapters.files.budgets import BudgetFile
from mainspring.adapters.files.tokens import TokenFile
from mainspring.app.access import TokenDesk
from mainspring.entry.inference.access import KeyRing, scrape_digest
from mainspring.entry.inference.binding import Address, InsecureBind, Listening, check_addresses
from mainspring.entry.inference.desk import DeskRules
from mainspring.entry.inference.routes import PUBLIC, Route
from mainspring.entry.inference.server import run
from mainspring.kernel.errors import Damaged
from mainspring.security.tokens import ROLES, Allowance, Wanted
from mainspring.serve.log import PredictionLog

INFER = f"/v2/models/{MODEL}/infer"
GOOD = json.dumps(body()).encode()
QUICK = Listening(drain_s=0.1, poll_s=0.02)
SCRAPE = "scrape-" + "x" * 20


def key(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def secrets(project: Path) -> dict[str, str]:
    desk = TokenDesk(project)
    made: dict[str, str] = {role: desk.create(Wanted(name=role, roles=(role,))).secret for role in ROLES}
    made["elsewhere"] = desk.create(Wanted(name="elsewhere", models=("other",), roles=ROLES)).secret
    made["revoked"] = desk.create(Wanted(name="revoked", roles=ROLES)).secret
    desk.revoke("revoked")
    return made


@pytest.fixture(scope="module")
def server(project: Path, secrets: dict[str, str]) -> Iterator[RunningServer]:
    assert secrets
    at = Listening(drain_s=0.1, poll_s=0.05, scrape=scrape_digest(SCRAPE))
    with running(project / "log", listening=at, tokens=TokenFile(project / ".mainspring")) as found:
        yield found


@pytest.mark.parametrize("route", [route for route in PUBLIC if route.policy != "open"], ids=lambda r: r.pattern)
@pytest.mark.parametrize("presented", ["", "Bearer nothing", "Basic YTpi", "Bearer", "revoked", "elsewhere"])
def test_no_route_of_the_public_port_opens_to_a_wrong_key(
    server: RunningServer, secrets: dict[str, str], route: Route, presented: str
) -> None:
    header = f"Bearer {secrets[presented]}" if presented in secrets else presented
    path = example(route.pattern).decode().replace("a-model", MODEL)
    data = GOOD if route.method == "POST" else None
    status, headers, content = server.ask(route.method, path, data, {"Authorization": header} if header else {})
    if presented == "elsewhere" and MODEL not in path and route.policy == "metadata":
        assert status == 200
    elif presented == "elsewhere":
        assert (status, json.loads(content)["code"]) == (403, "auth.denied")
    else:
        assert status == 401
        unknown = presented in ("Bearer nothing", "revoked")
        assert json.loads(content)["code"] == ("auth.invalid" if unknown else "auth.required")
        assert headers["www-authenticate"].startswith("Bearer")


def test_a_key_opens_its_role_and_no_other(server: RunningServer, secrets: dict[str, str]) -> None:
    for role in ROLES:
        headers = key(secrets[role])
        assert server.ask("POST", INFER, GOOD, headers)[0] == (200 if role == "predict" else 403)
        assert server.ask("GET", f"/v2/models/{MODEL}", headers=headers)[0] == (200 if role == "metadata" else 403)
        assert server.ask("GET", "/metrics", headers=headers)[0] == (200 if role == "metrics" else 403)
    assert server.ask("GET", "/metrics", headers=key(SCRAPE))[0] == 200
    assert server.ask("GET", "/metrics")[0] == 401
    assert server.ask("POST", INFER, GOOD, key(SCRAPE))[0] == 401


def test_probes_are_open_on_every_port_and_failures_are_counted(server: RunningServer, secrets: dict[str, str]) -> None:
    for path in ("/livez", "/readyz", "/startupz"):
        assert server.ask("GET", path)[0] == 200
        assert server.ask("GET", path, admin=True)[0] == 200
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert server.ask("GET", path)[0] == 200
    server.ask("POST", INFER, GOOD, key("mst_nobody"))
    text = server.ask("GET", "/metrics", headers=key(SCRAPE))[2].decode()
    assert 'mainspring_auth_failures_total{code="auth.invalid"}' in text
    assert "mst_" not in text


def test_a_new_key_counts_and_a_revoked_one_ends_without_a_restart(tmp_path: Path) -> None:
    desk = TokenDesk(tmp_path)
    with running(tmp_path / "log", listening=QUICK, tokens=TokenFile(tmp_path / ".mainspring")) as server:
        assert server.ask("POST", INFER, GOOD)[0] == 200
        secret = desk.create(Wanted(name="a")).secret
        wait(lambda: server.ask("POST", INFER, GOOD)[0] == 401)
        assert server.ask("POST", INFER, GOOD, key(secret))[0] == 200
        desk.revoke("a")
        wait(lambda: server.ask("POST", INFER, GOOD, key(secret))[0] == 401)
        (tmp_path / ".mainspring" / "tokens.json").unlink()
        second = desk.create(Wanted(name="b")).secret
        wait(lambda: server.ask("POST", INFER, GOOD, key(second))[0] == 200)
        (tmp_path / ".mainspring" / "tokens.json").unlink()
        wait(lambda: server.ask("POST", INFER, GOOD, key(second))[0] == 401)
        assert server.ask("POST", INFER, GOOD)[0] == 401


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_a_file_that_is_damaged_beside_traffic_changes_nothing_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = TokenDesk(tmp_path).create(Wanted(name="a")).secret
    source = TokenFile(tmp_path / ".mainspring")
    ring = KeyRing(source, RealClock())
    (tmp_path / ".mainspring" / "tokens.json").write_bytes(b"{")
    with caplog.at_level(logging.ERROR, "mainspring.inference"):
        ring.look()
        ring.look()
    assert "Damaged" in ring.failure
    assert len(caplog.records) == 1
    assert ring.book.judge(secret.encode(), ring.clock.now())[0] == "good"
    with pytest.raises(Damaged):
        KeyRing(TokenFile(tmp_path / ".mainspring"), RealClock())


def test_an_address_that_others_reach_needs_a_key_for_what_it_offers(tmp_path: Path) -> None:
    ring = KeyRing(TokenFile(tmp_path / ".mainspring"), RealClock())
    outside = Address(host="0.0.0.0")
    log = PredictionLog(Nowhere())
    for at in (Listening(public=outside), Listening(admin=outside), Listening(metrics=outside)):
        with pytest.raises(InsecureBind):
            run(fleet_of(Parts(), log), ring, listening=at)
    log.close()
    check_addresses(Listening(metrics=outside, scrape=scrape_digest(SCRAPE)), ring)
    TokenDesk(tmp_path).create(Wanted(name="a"))
    ring.look()
    check_addresses(Listening(public=outside), ring)
    for at in (Listening(admin=outside), Listening(metrics=outside)):
        with pytest.raises(InsecureBind):
            check_addresses(at, ring)
    TokenDesk(tmp_path).create(Wanted(name="b", roles=("admin", "metrics")))
    ring.look()
    check_addresses(Listening(public=outside, admin=outside, metrics=outside), ring)


def test_an_outside_port_stays_closed_when_its_tokens_go(tmp_path: Path) -> None:
    secret = TokenDesk(tmp_path).create(Wanted(name="a", roles=("predict", "admin", "metrics"))).secret
    everywhere = Address(host="0.0.0.0")
    at = Listening(public=everywhere, admin=everywhere, metrics=everywhere, drain_s=0.1, poll_s=0.02)
    with running(tmp_path / "log", listening=at, tokens=TokenFile(tmp_path / ".mainspring")) as server:
        assert server.ask("GET", "/admin/state", admin=True)[0] == 401
        assert server.ask("GET", "/admin/state", headers=key(secret), admin=True)[0] == 200
        assert server.ask("GET", "/metrics", headers=key(secret))[0] == 200
        os.unlink(tmp_path / ".mainspring" / "tokens.json")
        wait(lambda: server.ask("POST", INFER, GOOD, key(secret))[0] == 401)
        assert server.ask("GET", "/admin/state", headers=key(secret), admin=True)[0] == 401
        assert server.ask("GET", "/metrics")[0] == 401


def test_this_machines_tools_need_no_key_on_loopback(tmp_path: Path) -> None:
    TokenDesk(tmp_path).create(Wanted(name="a"))
    with running(tmp_path / "log", listening=QUICK, tokens=TokenFile(tmp_path / ".mainspring")) as server:
        assert server.ask("GET", "/admin/state", admin=True)[0] == 200
        assert server.ask("GET", "/metrics")[0] == 200
        assert server.ask("GET", "/metrics", headers={"Authorization": "Bearer x"})[0] == 200


def test_a_rate_and_a_budget_hold_a_key_back_with_the_time_to_wait(tmp_path: Path) -> None:
    desk = TokenDesk(tmp_path)
    slow = desk.create(Wanted(name="slow", allowance=Allowance(rate=1))).secret
    poor = desk.create(Wanted(name="poor", allowance=Allowance(budget=3, period_s=3_600))).secret
    free = desk.create(Wanted(name="free")).secret
    with running(tmp_path / "log", listening=QUICK, tokens=TokenFile(tmp_path / ".mainspring")) as server:
        found = [server.ask("POST", INFER, GOOD, key(slow)) for _ in range(3)]
        assert [status for status, _, _ in found] == [200, 429, 429]
        assert json.loads(found[1][2])["code"] == "limit.rate"
        assert found[1][1]["retry-after"] == "1"
        found = [server.ask("POST", INFER, GOOD, key(poor)) for _ in range(3)]
        assert [status for status, _, _ in found] == [200, 200, 429]
        assert int(found[2][1]["retry-after"]) > 1_000
        assert all(server.ask("POST", INFER, GOOD, key(free))[0] == 200 for _ in range(5))


def test_a_restart_forgives_no_budget(tmp_path: Path) -> None:
    poor = TokenDesk(tmp_path).create(Wanted(name="poor", allowance=Allowance(budget=3, period_s=3_600))).secret
    statuses = []
    for _ in range(3):
        rules = DeskRules(budgets=BudgetFile(tmp_path, RealClock()))
        tokens = TokenFile(tmp_path / ".mainspring")
        with running(tmp_path / "log", listening=QUICK, tokens=tokens, rules=rules) as server:
            statuses.append(server.ask("POST", INFER, GOOD, key(poor))[0])
    assert statuses == [200, 200, 429]


def test_without_keys_a_default_rate_holds_for_everybody(tmp_path: Path) -> None:
    rules = DeskRules(default=Allowance(rate=1))
    with running(tmp_path / "log", listening=QUICK, rules=rules) as server:
        assert [server.ask("POST", INFER, GOOD)[0] for _ in range(2)] == [200, 429]


def test_a_deadline_is_read_and_honoured(tmp_path: Path) -> None:
    with running(tmp_path / "log", listening=QUICK) as server:
        assert server.ask("POST", INFER, GOOD, {"mainspring-timeout-ms": "5000"})[0] == 200
        for wrong in ("0", "-1", "soon", "600001", "9" * 30):
            assert server.ask("POST", INFER, GOOD, {"mainspring-timeout-ms": wrong})[0] == 400
