"""The images of a rendered project: how large, how fast from nothing to ready, how fast a code change is built in.

    python benchmarks/bench_images.py

Builds both images under podman from a fresh project (packages from a folder of wheels, without a network), then starts
the serving image ten times as a pod would be: read-only root, no capability, user 10001, mounted release, keys and
models. Cold start is from `podman run` to the first 200 of /v2/health/ready, the engine's own start included.
"""

import http.client
import json
import platform
import socket
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mainspring.adapters.objects.bucket import Bucket
from mainspring.adapters.objects.models import ModelStore
from mainspring.app.releases import promote_version
from mainspring.flows.publish import publish

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests import containers  # noqa: E402 - what the tests build and mount
from tests.flows import cluster_project  # noqa: E402
from tests.flows.pod_files import SCRAPE, Volume, release_text, tokens_file  # noqa: E402

RESULT = Path(__file__).parent / "results" / "images.json"
SERVE, STEPS = "mainspring-bench-serve:1", "mainspring-bench-steps:1"
NAME = "mainspring-bench"
PACKAGES = ("mainspring", "numpy", "onnxruntime")
STARTS, REBUILDS, MB = 10, 5, 1e6


def main() -> None:
    """Measure, print a table, write benchmarks/results/images.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = cluster_project.make(folder / "project")
        cluster_project.write(root)
        containers.build(root, "Dockerfile", SERVE)
        containers.build(root, "steps.Dockerfile", STEPS)
        rows = [
            _row("serving image, layers above the base", [containers.size_above_base(SERVE) / MB], "MB", 200.0, 150.0),
            _row("serving image, the same compressed", [_compressed(SERVE, folder / "serve") / MB], "MB", None, 75.0),
            _row("serving image, cold start to ready in a container", _starts(root, folder / "pod"), "s", 1.5, 1.0),
            _row("steps image, layers above the base", [containers.size_above_base(STEPS) / MB], "MB", None, 600.0),
            _row("steps image, the same compressed", [_compressed(STEPS, folder / "steps") / MB], "MB", None, 250.0),
            _row("steps image, a code change built in", [_rebuilt(root, n) for n in range(REBUILDS)], "s", 5.0, 2.0),
        ]
    RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['work']:<52} {row['ours']:>9.3f} {row['unit']:<3} must {row['must']} aim {row['aim']}")


def _compressed(image: str, folder: Path) -> int:
    """Return the bytes of an image's layers above the base, as a registry would keep them (gzip)."""
    containers.podman("push", "--compress", image, f"dir:{folder}")
    layers = json.loads((folder / "manifest.json").read_text())["layers"]
    below = len(containers.inspected(containers.BASE)["RootFS"]["Layers"])
    return sum(int(layer["size"]) for layer in layers[below:])


def _starts(root: Path, pod: Path) -> list[float]:
    """Return seconds from `podman run` to ready, for several fresh containers."""
    promoted = _pod_files(root, pod)
    return [_started(pod, promoted) for _ in range(STARTS)]


def _pod_files(root: Path, pod: Path) -> str:
    """Lay out what a pod mounts; return the digest that is released."""
    workspace = cluster_project.opened(root)
    release = promote_version(workspace, 1, at_once=True, reason="benchmark").release
    digest = release.champion.digest
    publish(digest, workspace.models, ModelStore(Bucket((pod / "models").as_uri())), workspace.keys.trusted("local"))
    Volume(pod / "release", {"release.yaml": release_text(release)})
    Volume(pod / "trust", {"a.pem": next(iter(workspace.keys.trusted("local").values()))})
    Volume(pod / "tokens", {"tokens.json": tokens_file()[0]})
    Volume(pod / "scrape", {"token": SCRAPE.encode()})
    return digest


def _started(pod: Path, digest: str) -> float:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    mounts = [word for name in ("release", "trust", "tokens", "scrape", "models")
              for word in ("--volume", f"{pod / name}:/pod/{name}:ro")]  # fmt: skip
    begun = time.perf_counter()
    containers.podman(
        "run", "--detach", "--rm", "--name", NAME, "--network", "host", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--no-healthcheck", "--tmpfs", "/srv/project:mode=1777", *mounts, SERVE,
        "serve", "--env", "production", "--port", str(port), "--release-file", "/pod/release/release.yaml",
        "--models", "file:///pod/models", "--trust", "/pod/trust", "--tokens", "/pod/tokens/tokens.json",
    )  # fmt: skip
    try:
        while not _ready(port):
            if time.perf_counter() - begun > 60:
                raise TimeoutError(f"{digest} is not ready: {containers.podman('logs', NAME, check=False)}")
            time.sleep(0.005)
        return time.perf_counter() - begun
    finally:
        containers.podman("rm", "--force", "--time", "0", NAME, check=False)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _rebuilt(root: Path, number: int) -> float:
    (root / "src" / "changed.py").write_text(f"NUMBER = {number}\n")
    begun = time.perf_counter()
    containers.build(root, "steps.Dockerfile", STEPS)
    return time.perf_counter() - begun


def _row(work: str, runs: list[float], unit: str, must: float | None, aim: float) -> dict[str, Any]:
    podman = containers.podman("--version").split()[-1]
    versions = {
        "python": platform.python_version(), "podman": podman, **{name: version(name) for name in PACKAGES}
    }  # fmt: skip
    return {
        "work": work, "ours": round(statistics.median(runs), 4), "peer": None, "peer_name": None, "unit": unit,
        "ratio": None, "must": must, "aim": aim, "higher_is_better": False, "versions": versions,
        "runs": [round(run, 4) for run in runs],
    }  # fmt: skip


if __name__ == "__main__":
    main()
