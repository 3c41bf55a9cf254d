"""A live Prometheus and Alertmanager over our server, with rendered files; all on loopback, ended by id."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import tools

from mainspring.adapters.yaml.dump import dump
from mainspring.deliver.render.alerting import EVENTS
from mainspring.deliver.render.content import Objects

TOKEN = "a-token-of-the-submitting-account"
Alert = tuple[str, dict[str, Any]]


class Hooks:
    """Takes webhooks and keeps (path, alert) and the last body of a path; tells whether a token was shown."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.shown: dict[str, str] = {}
        self.posted: dict[str, dict[str, Any]] = {}
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                hooks.posted[self.path] = body
                hooks.shown[self.path] = self.headers.get("authorization", "")
                hooks.alerts += [(self.path, alert) for alert in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def named(self, path: str) -> dict[str, dict[str, Any]]:
        """Return the firing alerts that came to a path, by name."""
        return {
            alert["labels"]["alertname"]: alert
            for at, alert in list(self.alerts)
            if at.startswith(path) and alert["status"] == "firing"
        }

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str) -> dict[str, float]:
        """Return the present value of each series of a query, by its labels as text."""
        answer = self._get("query", query=query)
        return {json.dumps(one["metric"], sort_keys=True): float(one["value"][1]) for one in answer["result"]}

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        found = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    def _get(self, path: str, **words: str) -> Any:  # noqa: ANN401 - JSON
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]


def until(found: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for something that another program does."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"not seen within {seconds} s: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def stack(
    root: Path, target: str, rules: dict[str, Any], routes: Sequence[Mapping[str, Any]], hooks: Hooks
) -> Iterator[Prometheus]:  # fmt: skip
    """Run both over one target, which Prometheus knows as the namespace of the rules."""
    root.mkdir(parents=True, exist_ok=True)
    here, there = _free(), _free()
    namespace = routes[0]["metadata"]["namespace"]
    _write(root / "rules.yaml", rules)
    _write(root / "alertmanager.yaml", alertmanager(routes, hooks.url))
    _write(root / "prometheus.yaml", {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{there}"]}]}]},
        "scrape_configs": [{
            "job_name": "server", "static_configs": [{"targets": [target], "labels": {"namespace": namespace}}],
        }],
    })  # fmt: skip
    _checked("promtool", "check", "config", root / "prometheus.yaml")
    _checked("amtool", "check-config", root / "alertmanager.yaml")
    with (
        _running(root / "alertmanager.log", [
            tools.command("prometheus-alertmanager"), f"--config.file={root / 'alertmanager.yaml'}",
            f"--storage.path={root / 'alerts'}", f"--web.listen-address=127.0.0.1:{there}", "--cluster.listen-address=",
        ]),
        _running(root / "prometheus.log", [
            tools.command("prometheus"), f"--config.file={root / 'prometheus.yaml'}",
            f"--storage.tsdb.path={root / 'series'}", f"--web.listen-address=127.0.0.1:{here}", "--log.level=warn",
        ]),
    ):  # fmt: skip
        for port in (here, there):
            until(lambda port=port: _ready(port), f"port {port}")  # type: ignore[misc]
        yield Prometheus(f"http://127.0.0.1:{here}")


def alertmanager(documents: Sequence[Mapping[str, Any]], hooks: str) -> dict[str, Any]:
    """Return AlertmanagerConfigs as the operator would write it for Alertmanager, without its waits.

    Secrets become what a test's Secrets hold: addresses of `hooks`, and TOKEN.
    """

    def plain(value: Any, key: str = "") -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, list):
            return [_matcher(item) if key.endswith(("matchers", "Match")) else plain(item) for item in value]
        if not isinstance(value, dict):
            return "1s" if key in ("groupWait", "groupInterval") else value
        made = {}
        for name, item in value.items():
            if name == "urlSecret":
                made["url"] = f"{hooks}/{item['key']}"
            elif name == "credentials":
                made[name] = TOKEN
            elif name == "url":
                made[name] = item.replace(EVENTS, f"{hooks}/events")
            else:
                made[_snake(name).replace("_match", "_matchers") if name.endswith("Match") else _snake(name)] = plain(
                    item, name
                )
        return made

    whole: dict[str, Any] = {"route": {"receiver": "null", "routes": []}, "receivers": [{"name": "null"}]}
    for document in documents:
        head, spec = document["metadata"], plain(document["spec"])
        own = json.loads(json.dumps(spec).replace('"receiver": "', f'"receiver": "{head["name"]}/'))
        own["route"] |= {"matchers": [f'namespace="{head["namespace"]}"'], "continue": True}
        whole["route"]["routes"].append(own["route"])
        whole["receivers"] += [{**one, "name": f"{head['name']}/{one['name']}"} for one in spec["receivers"]]
        whole.setdefault("inhibit_rules", []).extend(spec.get("inhibit_rules", []))
    return whole


def _matcher(item: dict[str, str]) -> str:
    return f'{item["name"]}{item["matchType"]}"{item["value"]}"'


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(dump(Objects([document])), encoding="utf-8")


def _checked(command: str, *words: str | Path) -> None:
    argv = [tools.command(command), *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def _running(log: Path, argv: Sequence[str]) -> Iterator[None]:
    with log.open("wb") as out, subprocess.Popen(argv, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
