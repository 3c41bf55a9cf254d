"""The serving image, built from a rendered project, runs the rendered Deployment and answers as a local server."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import containers
from tests.conformance.test_log_sink_s3 import KEY, SECRET, free_ports, s3_server
from tests.flows import cluster_project
from tests.flows.pod_files import SCRAPE, Volume, tokens_file

pytestmark = [pytest.mark.tools, pytest.mark.slow, pytest.mark.xdist_group("podman")]
NAME = "chart-test"
TAG, STEPS = "mainspring-test-serve:1", "mainspring-test-steps:1"
LIMIT = 200_000_000
SOON_S = 15.0  # on a busy machine; benchmarks/bench_images.py says how soon on a quiet one
TOKENS, API_KEY = tokens_file()
Ask = Callable[[], list[float]]


def ask(port: int) -> list[float]:
    """Return the scores of a hundred rows."""
    sent = urllib.request.Request(f"http://127.0.0.1:{port}/v2/models/small/infer", cluster_project.request())
    sent.add_header("authorization", f"Bearer {API_KEY}")
    sent.add_header("content-type", "application/json")
    with urllib.request.urlopen(sent, timeout=10) as answer:
        scores: list[float] = json.loads(answer.read())["outputs"][0]["data"]
    return scores


def until(port: int, wanted: Callable[[list[float]], bool], seconds: float = 30) -> list[float]:
    """Ask until the answer is as wanted."""
    end, last = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        try:
            if wanted(found := ask(port)):
                return found
        except urllib.error.HTTPError as error:
            last = error.read().decode()
        except OSError as error:
            last = str(error)
        time.sleep(0.05)
    raise AssertionError(f"the server did not answer as wanted in time; last: {last[:500]}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose version 1 is released to a real S3 store."""
    folder, ports = tmp_path_factory.mktemp("cluster"), free_ports(4)
    settings = {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        "AWS_ENDPOINT": f"http://127.0.0.1:{ports[0]}",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, s3_server(folder / "s3", ports):
        for name, value in settings.items():
            patch.setenv(name, value)
        made = cluster_project.make(folder / "project")
        cluster_project.write(made)
        cluster_project.with_image(made, containers.build(made, "Dockerfile", TAG))
        cluster_project.write(made)
        cluster_project.promote(made, 1)
        yield made


def local_server(root: Path, port: int, folder: Path) -> "subprocess.Popen[str]":
    (root / ".mainspring" / "tokens.json").write_bytes(TOKENS)
    (root / ".mainspring" / "tokens.json").chmod(0o600)
    argv = [
        sys.executable, "-m", "mainspring", "-C", str(root), "serve", "--env", "production", "--port", str(port),
        "--models", "s3://models/small", "--drain", "0", "--json",
    ]  # fmt: skip
    with (folder / "local.log").open("wb") as errors:
        return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=errors, text=True)


def played(root: Path, folder: Path, port: int, metrics: int) -> str:
    more = [f"--port={port}", f"--metrics-port={metrics}", "--host=127.0.0.1", "--metrics-host=127.0.0.1"]
    values = {
        "project": {"name": NAME},
        "server": {"extraArgs": more, "drainSeconds": 1},
        "stores": {"env": {name: os.environ[name] for name in ("AWS_REGION", "AWS_ALLOW_HTTP", "AWS_ENDPOINT")}},
    }  # fmt: skip
    (folder / "more.json").write_text(json.dumps(values), "utf-8")
    documents = cluster_project.template(root, "--values", str(folder / "more.json"))
    for name, key, data in (("tokens", "tokens.json", TOKENS), ("scrape", "token", SCRAPE.encode())):
        head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{NAME}-{name}"}}
        documents.append({**head, "data": {key: data.decode()}})
    secret = json.dumps({
        "AWS_ACCESS_KEY_ID": base64.b64encode(KEY.encode()).decode(),
        "AWS_SECRET_ACCESS_KEY": base64.b64encode(SECRET.encode()).decode(),
    })  # fmt: skip
    (folder / "secret.json").write_text(secret, "utf-8")
    containers.podman("secret", "create", f"{NAME}-stores", str(folder / "secret.json"))
    return containers.play(documents, folder)


def clean() -> None:
    containers.remove(NAME, ("release", "trust", "serving", "tokens", "scrape", "state", "tmp"))
    containers.podman("secret", "rm", f"{NAME}-stores", check=False)


def test_the_image_adds_little_to_its_base(root: Path) -> None:
    assert containers.size_above_base(TAG) <= LIMIT


def test_the_rendered_deployment_answers_as_the_local_server_does(root: Path, tmp_path: Path) -> None:
    port, metrics, local = free_ports(3)
    clean()
    beside = local_server(root, local, tmp_path)
    try:
        name = played(root, tmp_path, port, metrics)
        begun = time.monotonic()
        first = until(local, lambda _: True)
        assert len(first) == 100
        assert until(port, lambda _: True) == first  # the same doubles, so the same bytes
        assert time.monotonic() - begun < SOON_S

        says = containers.podman("exec", name, "sh", "-c", "id -u; touch /srv/x /opt/x 2>&1; ls -A /srv/project")
        assert says.splitlines()[0] == "10001"
        assert says.count("Read-only file system") == 2
        assert says.splitlines()[-1] == ".mainspring"  # no repository, no project file, no sources

        cluster_project.promote(root, 2)
        second = until(local, lambda found: found != first)
        release = next(d for d in cluster_project.template(root) if d["metadata"]["name"] == "small-release")["data"]
        place = containers.volume_folder(f"{NAME}-release")
        (place / "..new").write_text(release["release.yaml"], "utf-8")
        (place / "..new").replace(place / "release.yaml")
        assert until(port, lambda found: found != first) == second
        assert containers.podman("inspect", "--format", "{{.RestartCount}}", name) == "0"

        containers.podman("kill", "--signal", "TERM", name)
        assert containers.podman("wait", name) == "0"
    finally:
        beside.terminate()
        beside.wait(20)
        sys.stderr.write(containers.podman("logs", f"{NAME}-pod-0-server", check=False))  # shown where it fails
        clean()


def test_the_steps_image_runs_the_projects_code_and_takes_a_change_soon(root: Path) -> None:
    containers.build(root, "steps.Dockerfile", STEPS)
    (root / "src" / "changed.py").write_text(f"MOMENT = {time.time_ns()}\n")
    begun = time.monotonic()
    containers.build(root, "steps.Dockerfile", STEPS)
    assert time.monotonic() - begun < SOON_S
    confined = ["run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", "--tmpfs", "/tmp:mode=1777"]
    code = "import changed, duckdb, os, sklearn; print(changed.MOMENT > 0, os.getuid())"
    says = containers.podman(*confined, "--env", "PYTHONPATH=src", "--entrypoint", "python", STEPS, "-c", code)
    assert says == "True 10001"
    assert "step" in containers.podman(*confined, STEPS, "step", "--help")


def test_two_workers_as_pid_1_are_healthy_and_leave_when_told(root: Path, tmp_path: Path) -> None:
    """The image's own port and HEALTHCHECK, in a network of its own; nothing is released yet, so it is alive only."""
    Volume(tmp_path / "tokens", {"tokens.json": TOKENS})
    name, mounts = f"{NAME}-workers", ["--volume", f"{tmp_path / 'tokens'}:/pod/tokens:ro"]
    containers.podman("rm", "--force", "--ignore", name)
    containers.podman(
        "run", "--detach", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--tmpfs", "/srv/project:mode=1777", *mounts, TAG, "serve", "--env", "production", "--host", "0.0.0.0",
        "--port", "8080", "--workers", "2", "--release-file", "/pod/release.yaml", "--models", "memory:///",
        "--tokens", "/pod/tokens/tokens.json", "--trust", "/pod/tokens",
    )  # fmt: skip
    try:
        end = time.monotonic() + SOON_S
        while not healthy(name):
            assert time.monotonic() < end, containers.podman("logs", name, check=False)
        containers.podman("kill", "--signal", "TERM", name)
        assert containers.podman("wait", name) == "0"
    finally:
        containers.podman("rm", "--force", "--time", "0", name, check=False)


def healthy(name: str) -> bool:
    """Run the image's HEALTHCHECK and return podman's verdict."""
    containers.podman("healthcheck", "run", name, check=False)
    return containers.podman("inspect", "--format", "{{.State.Health.Status}}", name) == "healthy"
