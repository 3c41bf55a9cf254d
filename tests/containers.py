"""Build and run a project's images with podman, without a registry: packages come from a folder of wheels."""

import atexit
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests import tools

CACHE = tools.ROOT / ".venvs"
LOCKS = tools.ROOT / "src" / "mainspring" / "project" / "templates" / "images"
BASE = "docker.io/library/python:3.11-slim"


def podman(*argv: str, timeout: float = 300, check: bool = True) -> str:
    """Run podman and return what it says; its own words on standard error where it fails."""
    done = subprocess.run(
        [tools.command("podman"), *argv],
        capture_output=True, text=True, check=False, timeout=timeout, env=tools.containers(),
    )  # fmt: skip
    assert done.returncode == 0 or not check, f"podman {' '.join(argv[:3])}: {done.stderr[-3000:]}{done.stdout[-2000:]}"
    return done.stdout.strip()


@cache
def wheelhouse(lock: str) -> Path:
    """Return a folder with the wheels of `serve.lock` or `steps.lock`, fetched once and checked by their hashes."""
    # pip judges markers by the Python that it runs on, and the base image's is an older 3.11
    text = (LOCKS / lock).read_text("utf-8").replace(" ; python_full_version < '3.11.3'", "")
    folder = CACHE / f"wheels-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not (folder / ".whole").exists():
        folder.mkdir(exist_ok=True)
        (folder / lock).write_text(text, "utf-8")
        argv = ["-m", "pip", "--quiet", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        done = subprocess.run(
            ["python3.11", *argv, "--requirement", str(folder / lock), "--dest", str(folder)],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        (folder / ".whole").touch()
    return folder


@cache
def own_wheel() -> Path:
    """Return this package's wheel, built now."""
    folder = Path(tempfile.mkdtemp(prefix="mainspring-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    uv = str(tools.ROOT / "scripts" / "uv")
    argv = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(tools.ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return next(folder.glob("*.whl"))


def build(project: Path, dockerfile: str, tag: str) -> str:
    """Build an image of a rendered project as `tag`; return its reference by digest."""
    wheels = project / "ml-api" / "wheels"
    wheels.mkdir(exist_ok=True)
    shutil.copy(own_wheel(), wheels)
    lock = "steps.lock" if dockerfile.startswith("steps") else "serve.lock"
    offline = CACHE / "pip.conf"
    offline.write_text("[global]\nno-index = true\nfind-links = /wheelhouse\n")
    podman(
        "build", "--format", "docker", "--network", "none", "--build-arg", "SYSTEM=",
        "--file", str(project / "ml-api" / dockerfile),
        "--volume", f"{wheelhouse(lock)}:/wheelhouse:ro", "--volume", f"{offline}:/etc/pip.conf:ro", "--tag", tag,
        str(project), timeout=600,
    )  # fmt: skip
    return f"localhost/{tag.partition(':')[0]}@{inspected(tag)['Digest']}"


def inspected(image: str) -> dict[str, Any]:
    """Return what podman knows of an image."""
    found: list[dict[str, Any]] = json.loads(podman("image", "inspect", image))
    return found[0]


def size_above_base(image: str) -> int:
    """Return the bytes of an image's layers above the base image."""
    return int(inspected(image)["Size"]) - int(inspected(BASE)["Size"])


def volume_folder(name: str) -> Path:
    """Return where podman keeps a volume."""
    found: list[dict[str, Any]] = json.loads(podman("volume", "inspect", name))
    return Path(found[0]["Mountpoint"])


def play(documents: Sequence[dict[str, Any]], folder: Path) -> str:
    """Run rendered objects as `podman kube play` understands them; return the container's name.

    Podman 4.3 knows no Secret volumes, no emptyDir and no digest for what was never pushed: Secrets become ConfigMaps,
    emptyDirs named volumes. What it starts has the host's network, so ports are chosen by the caller.
    """
    found = [_adapted(document) for document in documents if document["kind"] in ("ConfigMap", "Deployment")]
    file = folder / "played.yaml"
    file.write_text("\n---\n".join(json.dumps(document) for document in found), "utf-8")
    podman("kube", "play", str(file))
    name = next(document["metadata"]["name"] for document in found if document["kind"] == "Deployment")
    return f"{name}-pod-0-server"


def remove(name: str, volumes: Sequence[str]) -> None:
    """Remove what `play` started under a name, with its volumes."""
    podman("pod", "rm", "--force", "--time", "0", "--ignore", f"{name}-pod-0", check=False)
    for volume in volumes:
        podman("volume", "rm", "--force", f"{name}-{volume}", check=False)


def _adapted(document: dict[str, Any]) -> dict[str, Any]:
    document["metadata"].pop("namespace", None)
    if document["kind"] == "Deployment":
        pod = document["spec"]["template"]["spec"]
        pod["hostNetwork"] = True
        pod["restartPolicy"] = "Never"  # so that its exit status is seen
        pod["containers"][0]["imagePullPolicy"] = "Never"
        del pod["containers"][0]["ports"]
        for volume in pod["volumes"]:
            if secret := volume.pop("secret", None):
                volume["configMap"] = {"name": secret["secretName"]}
            if "emptyDir" in volume:
                claim = f"{document['metadata']['name']}-{volume['name']}"
                del volume["emptyDir"]
                volume["persistentVolumeClaim"] = {"claimName": claim}
    return document
