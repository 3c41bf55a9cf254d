"""Kinds without a strict schema are at least right in types and required fields, by npm's @kubernetes-models.

Their validators let unknown fields pass, so these kinds stay listed as unverified in tests/kube_schemas.py.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests import charts, kube_schemas, tools, whole_project

pytestmark = pytest.mark.tools
PACKAGES = {
    "keda.sh/v1alpha1": "keda", "gateway.networking.k8s.io/v1": "gateway-api",
    "monitoring.coreos.com/v1alpha1": "prometheus-operator",
}  # fmt: skip
SCRIPT = """
import {readFileSync} from "fs";
const [documents, packages] = JSON.parse(readFileSync(0));
const found = [];
for (const one of documents) {
  const models = await import(`@kubernetes-models/${packages[one.apiVersion]}/${one.apiVersion}`);
  try { new models[one.kind](one).validate(); found.push(""); } catch (error) { found.push(String(error.message)); }
}
console.log(JSON.stringify(found));
"""


def judged(documents: list[dict[str, Any]], folder: Path) -> list[str]:
    """Return what is wrong with each document, "" where nothing is."""
    script = folder / "judge.mjs"
    script.write_text(SCRIPT)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(tools.environment("models") / "node_modules")
    node = shutil.which("node")
    assert node is not None, "npm brought no node"
    sent = json.dumps([documents, PACKAGES])
    done = subprocess.run([node, str(script)], input=sent, capture_output=True, text=True, check=True, cwd=folder)
    answers: list[str] = json.loads(done.stdout)
    return answers


def test_kinds_without_a_schema_have_the_right_types(tmp_path: Path) -> None:
    root = whole_project.write(tmp_path)
    subject = whole_project.subject(root)
    files = charts.write(subject, root)
    documents = [d for path, data in files.items() if "/alerting-" in path for d in charts.read(data.decode())]
    options = {"autoscaling": {"kind": "keda", "prometheus": {"address": "http://prometheus:9090"}},
               "gateway": {"enabled": True, "name": "edge", "hostnames": ["shop.example"]}}  # fmt: skip
    release = charts.release(weight=25, mode="canary") | {"model": "shop"} | options  # the last values file wins
    documents += charts.read(charts.template(root, "qa", release, name="shop", space="shop-qa"))
    wanted = [d for d in documents if d["apiVersion"] in PACKAGES]
    assert {d["kind"] for d in wanted} == {"ScaledObject", "HTTPRoute", "AlertmanagerConfig"}
    assert {(d["apiVersion"], d["kind"]) for d in wanted} <= set(kube_schemas.UNVERIFIED)
    assert judged(wanted, tmp_path) == [""] * len(wanted)
    broken = [{**d, "spec": {**d["spec"], wrong: "no"}} for d, wrong in (
        (next(d for d in wanted if d["kind"] == "ScaledObject"), "triggers"),
        (next(d for d in wanted if d["kind"] == "HTTPRoute"), "rules"),
    )]  # fmt: skip
    assert all(judged(broken, tmp_path))
