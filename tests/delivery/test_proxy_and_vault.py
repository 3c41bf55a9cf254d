"""The rendered security files at work: Envoy in front of MLflow's port, and Vault's policies in OpenBao."""

import json
import os
import signal
import subprocess
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests import tools
from tests.unit.deliver.test_render_security import TRACKING, project

from mainspring.deliver.render import mlflow, vault
from mainspring.deliver.render.content import Objects, Text

pytestmark = pytest.mark.tools
KEY, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
ISSUER = "https://id.example"


def free_port() -> int:
    with closing(socket()) as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def spelt(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: ec.EllipticCurvePrivateKey = KEY, **claims: object) -> str:
    """Return a JSON Web Token signed by ES256 (RFC 7518, section 3.4)."""
    now = int(time.time())
    body = {"iss": ISSUER, "aud": "mlflow", "sub": "ann", "iat": now, "nbf": now, "exp": now + 300, **claims}
    parts = [spelt(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "one"}, body)]
    r, s = decode_dss_signature(key.sign(".".join(parts).encode(), ec.ECDSA(SHA256())))
    return ".".join([*parts, spelt(r.to_bytes(32, "big") + s.to_bytes(32, "big"))])


def public_jwk() -> dict[str, str]:
    numbers = KEY.public_key().public_numbers()
    x, y = (spelt(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one", "x": x, "y": y}


class Upstream(BaseHTTPRequestHandler):
    """Stands for MLflow, and for the issuer's page of keys; tells what reached it."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = json.dumps(
            {"keys": [public_jwk()]}
            if self.path == "/jwks"
            else {"method": self.command, "host": self.headers["host"], "token": self.headers["authorization"]}
        ).encode()
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def running(argv: list[str], ready: str, *, seconds: float = 30, **how: Any) -> Iterator[None]:  # noqa: ANN401 - of Popen
    """Run a program until the block ends; it is ready when `ready` answers at all."""
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=tools.quiet(), start_new_session=True, **how
    )
    try:
        until = time.monotonic() + seconds
        while status(ready)[0] == 0:
            assert process.poll() is None and time.monotonic() < until, argv[0]  # noqa: PT018 - either is the end
            threading.Event().wait(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # a group of its own: MLflow has workers
        process.wait(10)


def status(
    url: str, method: str = "GET", bearer: str = "", body: Mapping[str, Any] | None = None, **headers: str
) -> tuple[int, Any]:
    """Return (status, JSON or text); 0 where nobody answers."""
    sent = {**headers, **({"authorization": f"Bearer {bearer}"} if bearer else {})}
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urlopen(Request(url, data, sent, method=method), timeout=5) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
    except HTTPError as error:
        with error:
            return error.code, error.read()
    except (URLError, OSError):
        return 0, b""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("envoy")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = replace(TRACKING, keys=f"http://127.0.0.1:{server.server_port}/jwks")
    listen = free_port()
    config = mlflow.envoy(here, listen=listen, upstream=server.server_port)
    config["admin"]["address"]["socket_address"]["port_value"] = free_port()
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    argv = [tools.program("envoy"), "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
    with running(argv, f"http://127.0.0.1:{listen}/proxy/healthz"):
        yield f"http://127.0.0.1:{listen}"
    server.shutdown()
    server.server_close()


def test_the_real_envoy_takes_the_rendered_file_with_a_public_issuer(tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(mlflow.envoy(TRACKING)))
    argv = [tools.program("envoy"), "--mode", "validate", "-c", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=tools.quiet())
    assert done.returncode == 0, done.stderr[-1500:]


READ: dict[str, Any] = {"groups": ["ml-readers"]}
WRITE: dict[str, Any] = {"groups": ["other", "ml-writers"]}
RUNS, SEARCH = "/api/2.0/mlflow/runs/get", "/api/2.0/mlflow/runs/search"


@pytest.mark.parametrize(
    ("method", "path", "claims", "wanted"),
    [
        ("GET", RUNS, READ, 200), ("POST", SEARCH, READ, 200), ("POST", "/api/2.0/mlflow/runs/create", READ, 403),
        ("DELETE", RUNS, READ, 403), ("PATCH", RUNS, READ, 403), ("POST", "/api/2.0/mlflow/runs/create", WRITE, 200),
        ("DELETE", RUNS, WRITE, 200), ("GET", RUNS, {"groups": []}, 403), ("GET", RUNS, {}, 403),
        ("GET", RUNS, {"groups": "ml-writers"}, 403), ("GET", RUNS, {"groups": ["ml-writers2"]}, 403),
        ("POST", SEARCH + "/../../runs/create", READ, 403), ("POST", SEARCH + "%2f..%2fcreate", READ, 400),
        ("GET", RUNS, {**READ, "aud": "other"}, 403), ("GET", RUNS, {**READ, "iss": "https://evil.example"}, 401),
        ("GET", RUNS, {**READ, "exp": 1}, 401),
    ],
)  # fmt: skip
def test_a_token_opens_what_its_groups_may_do(
    proxy: str, method: str, path: str, claims: dict[str, Any], wanted: int
) -> None:
    found, answer = status(proxy + path, method, token(**claims))
    assert found == wanted
    if found == 200:
        assert answer == {"method": method, "host": "127.0.0.1:5000", "token": None}  # MLflow never sees the token


def test_without_a_token_or_with_a_changed_one_nothing_passes(proxy: str) -> None:
    good = token(**READ)
    head, body, signature = good.split(".")
    other = token(**WRITE).split(".")[1]
    assert status(proxy + RUNS, bearer=good)[0] == 200
    for bad in ("", "x", f"{head}.{other}.{signature}", f"{head}.{body}.", token(STRANGER, **READ)):
        assert status(proxy + RUNS, bearer=bad)[0] == 401
        assert status(proxy + "/", "DELETE", bad)[0] == 401
    assert status(proxy + "/proxy/healthz")[0] == 200  # the kubelet's question: it reaches nothing behind


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    argv = [tools.program("bao"), "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token",
            f"-dev-listen-address=127.0.0.1:{port}"]  # fmt: skip
    with running(argv, f"http://127.0.0.1:{port}/v1/sys/health", cwd=tmp_path_factory.mktemp("bao")):
        yield f"http://127.0.0.1:{port}/v1/"


def test_each_environment_reads_its_own_secrets_and_no_others(bao: str, tmp_path: Path) -> None:
    """The rendered setup, run as it stands with `bao` for `vault`; tokens are what a cluster's issuer would sign."""
    root = {"X-Vault-Token": "root"}
    for mount in ("ml", "ops"):
        assert (
            status(f"{bao}sys/mounts/{mount}", "POST", body={"type": "kv", "options": {"version": "2"}}, **root)[0]
            == 204
        )
    assert status(f"{bao}sys/auth/jwt", "POST", body={"type": "jwt"}, **root)[0] == 204
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert status(f"{bao}auth/jwt/config", "POST", body={"jwt_validation_pubkeys": [pem]}, **root)[0] == 204
    subject = project("external-secrets", "jwt")
    for path, content in vault.files(subject).items():
        if isinstance(content, Text):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content.body)
    (tmp_path / "vault").symlink_to(tools.program("bao"))
    address = {
        f"{tool}_{name}": value for tool in ("VAULT", "BAO") for name, value in (("ADDR", bao[:-4]), ("TOKEN", "root"))
    }
    env = {**tools.quiet(), **address, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    argv = ["sh", "security/vault-setup.sh"]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    secrets = (
        "ml/data/flight-delay/production/tokens",
        "ml/data/ledger",
        "ops/data/pager",
        "ml/data/flight-delay/dev_1/tokens",
    )
    for path in (*secrets, "ml/data/other/production/tokens"):
        assert status(bao + path, "POST", body={"data": {"x": "1"}}, **root)[0] == 200

    def reads(place: str, account: str) -> dict[str, Any]:
        login = token(sub=f"system:serviceaccount:{account}", aud=["vault"])
        code, answer = status(f"{bao}auth/jwt/login", "POST", body={"role": f"flight-delay-{place}", "jwt": login})
        if code != 200:
            return {"login": code, "why": str(answer)}
        given = {"X-Vault-Token": answer["auth"]["client_token"]}
        assert status(f"{bao}ml/data/ledger", "POST", body={"data": {"x": "2"}}, **given)[0] == 403
        return {path: status(bao + path, **given)[0] for path in (*secrets, "ml/data/other/production/tokens")}

    assert list(reads("production", "flight-delay-production:flight-delay-secrets").values()) == [
        200,
        200,
        200,
        403,
        403,
    ]
    assert list(reads("dev_1", "flight-delay-dev-1:flight-delay-secrets").values()) == [403, 403, 200, 200, 403]
    assert reads("production", "flight-delay-production:flight-delay-steps")["login"] == 400
    assert reads("production", "flight-delay-dev-1:flight-delay-secrets")["login"] == 400


@pytest.mark.slow
def test_the_real_mlflow_answers_behind_the_proxy_as_roles_say(tmp_path: Path) -> None:
    (deployment,) = [
        d for content in mlflow.files(project()).values() if isinstance(content, Objects)
        for d in content.documents if d["kind"] == "Deployment"
    ]  # fmt: skip
    rendered = deployment["spec"]["template"]["spec"]["containers"][0]
    upstream, listen = free_port(), free_port()
    words = [word.replace("/mlflow/", f"{tmp_path}/").replace("=5000", f"={upstream}") for word in rendered["args"]]
    issuer = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=issuer.serve_forever, daemon=True).start()
    here = replace(TRACKING, keys=f"http://127.0.0.1:{issuer.server_port}/jwks")
    config = mlflow.envoy(here, listen=listen, upstream=upstream)
    config["admin"]["address"]["socket_address"]["port_value"] = free_port()
    (tmp_path / "envoy.json").write_text(json.dumps(config))
    proxy = [tools.program("envoy"), "-c", str(tmp_path / "envoy.json"), "--concurrency", "1", "--disable-hot-restart"]
    url, experiments = f"http://127.0.0.1:{listen}", "/api/2.0/mlflow/experiments/"
    command = [str(tools.environment("mlflow") / "bin" / "mlflow"), *words]
    behind = running(command, f"http://127.0.0.1:{upstream}/health", seconds=120, cwd=tmp_path)
    with behind, running(proxy, f"{url}/proxy/healthz"):
        outside = {"Host": "mlflow.example", "content-type": "application/json"}
        new: dict[str, Any] = {"name": "flights"}
        assert status(url + experiments + "create", "POST", "", new, **outside)[0] == 401
        assert status(url + experiments + "create", "POST", token(**READ), new, **outside)[0] == 403
        code, made = status(url + experiments + "create", "POST", token(**WRITE), new, **outside)
        assert (code, list(made)) == (200, ["experiment_id"])
        sought: dict[str, Any] = {"max_results": 10}
        code, found = status(url + experiments + "search", "POST", token(**READ), sought, **outside)
        assert code == 200
        assert "flights" in {experiment["name"] for experiment in found["experiments"]}
    issuer.shutdown()
    issuer.server_close()
