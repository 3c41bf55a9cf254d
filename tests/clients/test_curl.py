"""curl: plain and chunked bodies, `Expect`, HTTP/1.0, one connection for several requests, refusals."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests import tools
from tests.clients.live import COLUMNS, TEXTS, Live

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("clients")]
JSON = "Content-Type: application/json"


def curl(*arguments: str) -> tuple[list[int], str]:
    """Return the statuses, in order, and everything the server sent."""
    argv = [tools.command("curl"), "-sS", "-w", "\n%{http_code}\n", "--max-time", "20", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [int(line) for line in lines if len(line) == 3 and line.isdigit()], done.stdout


def body(rows: int = 2, copies: int = 1) -> str:
    """Return a V2 request of `rows` rows of `COLUMNS`, repeated."""
    inputs = [
        {"name": name, "shape": [rows * copies], "datatype": "BYTES" if name in TEXTS else "FP64",
         "data": values[:rows] * copies}
        for name, values in COLUMNS.items()
    ]  # fmt: skip
    return json.dumps({"inputs": inputs})


def key(live: Live) -> Sequence[str]:
    return ["-H", f"Authorization: Bearer {live.token}", "-H", JSON]


def scores(text: str) -> list[float]:
    found = json.loads(text.splitlines()[-2])
    return list(found["outputs"][0]["data"])


@pytest.mark.parametrize(
    "how", [(), ("-H", "Transfer-Encoding: chunked"), ("--http1.0",), ("-H", "Expect: 100-continue")]
)
def test_a_prediction(live: Live, how: tuple[str, ...]) -> None:
    statuses, text = curl(*key(live), *how, "-d", body(), f"{live.url}/v2/models/{live.model}/infer")
    assert statuses == [200]
    assert scores(text) == pytest.approx(live.expected(slice(2)), abs=1e-9)


def test_a_large_body_from_a_file(live: Live, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(body(6, copies=1_000))
    statuses, text = curl(
        *key(live), "--data-binary", f"@{tmp_path / 'body.json'}", f"{live.url}/v2/models/{live.model}/infer"
    )
    assert statuses == [200]
    assert scores(text) == pytest.approx(live.expected() * 1_000, abs=1e-9)


def test_several_requests_on_one_connection(live: Live) -> None:
    url = f"{live.url}/v2/models/{live.model}/infer"
    statuses, text = curl("-v", "--stderr", "-", *key(live), "-d", body(1), url, url, url)
    assert statuses == [200, 200, 200]
    assert text.count("Re-using existing connection") == 2


def test_what_is_refused(live: Live) -> None:
    infer = f"{live.url}/v2/models/{live.model}/infer"
    cases = {
        "no key": (["-d", body(), infer], 401),
        "a wrong key": (["-H", "Authorization: Bearer mst_wrong", "-d", body(), infer], 401),
        "no body": ([*key(live), "-X", "POST", infer], 400),
        "no JSON": ([*key(live), "-d", "{", infer], 400),
        "a form": (["-H", f"Authorization: Bearer {live.token}", "-d", "a=b", infer], 415),
        "GET": ([*key(live), infer], 405),
        "DELETE": ([*key(live), "-X", "DELETE", infer], 405),
        "no such model": ([*key(live), "-d", body(), f"{live.url}/v2/models/other/infer"], 404),
        "no such path": ([*key(live), f"{live.url}/v3"], 404),
        "the admin's path": ([*key(live), f"{live.url}/admin/state"], 404),
        "metrics": ([*key(live), f"{live.url}/metrics"], 404),
        "compressed": ([*key(live), "-H", "Content-Encoding: gzip", "-d", "x", infer], 415),
    }
    for name, (arguments, status) in cases.items():
        statuses, text = curl(*arguments)
        assert statuses == [status], f"{name}: {text}"
        told = json.loads(text.splitlines()[-2])
        assert told["error"], name
        assert told["code"], name
        assert told["fix"], name


def test_health_needs_no_key(live: Live) -> None:
    statuses, _ = curl(f"{live.url}/v2/health/live", f"{live.url}/v2/health/ready")
    assert statuses == [200, 200]
