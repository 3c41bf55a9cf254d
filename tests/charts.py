"""The documents that the real helm makes of a rendered chart, for a project, an environment and a release."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tests import tools

from mainspring.app.rendering import render_ports
from mainspring.deliver.render.subject import Subject
from mainspring.flows.render import expected

CHAMPION, CHALLENGER = "sha256:" + "7" * 64, "sha256:" + "8" * 64
PLAN = {
    "steps": [5, 25, 100], "hold": "6h",
    "abort": {"min_requests": 500, "error_rate": 0.01, "quality": True, "latency_p99": "50ms"},
}  # fmt: skip


def release(**challenger: object) -> dict[str, Any]:
    """Return a release document of version 7, with version 8 on trial if anything is said of it."""
    found: dict[str, Any] = {
        "schema": 1, "model": "flight-delay", "champion": {"version": 7, "digest": CHAMPION}, "plan": PLAN,
    }  # fmt: skip
    return {**found, "challenger": {"version": 8, "digest": CHALLENGER, **challenger}} if challenger else found


def write(subject: Subject, folder: Path) -> dict[str, bytes]:
    """Write every rendered file below a folder; return them."""
    files = expected(subject, render_ports(folder))
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return files


def template(
    folder: Path, environment: str, document: Mapping[str, Any] | None, name: str = "flight-delay", space: str = ""
) -> str:
    """Return what `helm template` prints for an environment of a written project."""
    values = ["-f", f"environments/{environment}/values.yaml"]
    if document is not None:
        (folder / "release.json").write_text(json.dumps(document))
        values += ["-f", "release.json"]
    argv = [
        tools.program("helm"),
        "template",
        name,
        "helm/ml-api-chart",
        "-n",
        space or f"{name}-{environment}",
        *values,
    ]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, env=tools.quiet())
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def read(text: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML text, as YAML 1.1 readers (Kubernetes) see them."""
    yaml = YAML(typ="safe")
    yaml.version = "1.1"
    return [document for document in yaml.load_all(text) if document]
