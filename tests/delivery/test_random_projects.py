"""A hundred random projects, each valid by its own file, rendered: every object is right, every text stays itself."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml as old_reader  # type: ignore[import-untyped]
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests import charts, kube_schemas, whole_project
from tests.unit.project.example import EXAMPLE

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import read_text
from mainspring.app.rendering import shipped
from mainspring.deliver.render.content import Objects
from mainspring.deliver.render.tree import rendered
from mainspring.security.lint import lint

pytestmark = pytest.mark.tools
TRICKY = ["on", "y", "no", "null", "true", "e1", "o7", "off", "a-b", "x_y", "n", "yes", "a" * 63]
NAMES = st.sampled_from(TRICKY) | st.from_regex(r"[a-z][a-z0-9]{0,8}([-_][a-z0-9]{1,4}){0,2}", fullmatch=True)
TEXTS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40) | st.sampled_from(
    ["12:30:45", "0o17", "~", "a: b #c", "- x", "{{ .Values }}", "$(id)", "`id`", "'\"", "ß", "=", "1e3"]
)
PIN = whole_project.PIN
STORES = st.fixed_dictionaries({}, optional={
    "ledger": st.sampled_from(["secret://vault/ml/ledger#url", "secret://env/LEDGER_URL"]),
    "models": st.sampled_from(["s3://models", "gs://m/a", "az://m", "file:///srv/models"]),
    "tables": st.sampled_from(["s3://tables/x", "abfss://t/x"]),
    "online": st.sampled_from(["redis://features:6379", "rediss://f.redis.svc:6380"]),
    "tracking": st.sampled_from(["http://mlflow:5000", "https://mlflow.example/x"]),
})  # fmt: skip
REPLICAS = st.integers(0, 9) | st.tuples(st.integers(0, 4), st.integers(4, 30)).map(
    lambda p: {"min": p[0], "max": p[1]}
)
NETWORK = st.fixed_dictionaries({}, optional={
    "callers": st.lists(st.sampled_from(["ingress-nginx", "gateway", "on"]), max_size=2, unique=True),
    "outside": st.lists(st.sampled_from(["203.0.113.0/24", "2001:db8::/32"]), max_size=2, unique=True),
    "api": st.just(["10.0.0.1/32"]),
})  # fmt: skip
PLACE = st.fixed_dictionaries(
    {"platform": st.sampled_from(["deployment", "rollouts", "kserve", "seldon"]), "replicas": REPLICAS},
    optional={
        "scheduler": st.sampled_from(["cronworkflow", "cronjob"]), "approvals": st.integers(0, 3),
        "schedule": st.sampled_from(["0 */6 * * *", "15 3 * * 1"]), "stores": STORES, "network": NETWORK,
        "image": st.just(f"registry.example/a/b{PIN}"), "steps_image": st.just(f"registry.example/a/steps{PIN}"),
    },
)  # fmt: skip
DELIVERY = st.fixed_dictionaries({"registry": st.just("registry.example/ops/x")}, optional={
    "repository": st.sampled_from(["https://git.example/a/b.git", "git@git.example:a/b.git"]),
    "branch": st.sampled_from(["main", "release/1.x", "on"]), "ci": st.sampled_from(["github", "gitlab"]),
    "login": st.sampled_from(["token", "dockerhub"]), "base": st.just(f"registry.example/python{PIN}"),
    "secrets": st.sampled_from(["external-secrets", "vault-operator", "agent"]),
    "vault": st.sampled_from([{"auth": "jwt"}, {"mount": "kv", "address": "https://v.example:8200"}]),
    "tracking": st.just({"image": f"registry.example/mlflow{PIN}", "proxy": f"registry.example/envoy{PIN}",
                         "issuer": "https://id.example", "keys": "http://id.auth.svc/jwks"}),
})  # fmt: skip
ALERTS = st.fixed_dictionaries({}, optional={
    "page": st.just(["quality", "unavailable"]), "tell": st.just(["drift", "rollout"]),
    "to": st.lists(st.sampled_from(["secret://env/HOOK", "secret://vault/ops/pager#key"]), max_size=2, unique=True),
})  # fmt: skip
PROJECT = st.fixed_dictionaries({
    "project": NAMES, "owner": TEXTS, "description": TEXTS, "delivery": DELIVERY, "alerts": ALERTS,
    "environments": st.dictionaries(NAMES, PLACE, min_size=1, max_size=3),
})  # fmt: skip
BASE: dict[str, Any] = charts.read(EXAMPLE)[0]
DEFAULTS: dict[str, Any] = charts.read(shipped()["chart/values.yaml"])[0]
SCHEMA = jsonschema_rs.validator_for(json.loads(shipped()["chart/values.schema.json"]))


def spaces(project: dict[str, Any]) -> int:
    return len({name.replace("_", "-") for name in project["environments"]})


@settings(
    max_examples=100, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(project=PROJECT.filter(lambda p: spaces(p) == len(p["environments"])))
def judged(seen: Counter[str], project: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "mainspring.yaml").write_text(json.dumps({**BASE, **project}, ensure_ascii=False), encoding="utf-8")
        subject = whole_project.subject(root)
        files = {path: content for path, content in rendered(subject).items() if isinstance(content, Objects)}
        for path, content in files.items():
            documents = [dict(document) for document in content.documents]
            assert list(old_reader.load_all(dump(content), old_reader.CSafeLoader)) == documents, path
            for document in documents:
                if "kind" in document and "metadata" in document:
                    assert kube_schemas.mistakes(document) == [], (path, document)
                    seen["objects"] += 1
            if path.endswith("/values.yaml"):
                assert [error.message for error in SCHEMA.iter_errors({**DEFAULTS, **documents[0]})] == []
        seen["projects"] += 1
        if seen["projects"] % 10 == 0:
            sources = [read_text(p, "kubernetes", dump(c)) for p, c in files.items() if not p.startswith((".", "env"))]
            assert [str(finding) for finding in lint(sources)] == []
        if seen["projects"] % 25 == 0:
            charts.write(subject, root)
            release = charts.release(weight=25, mode="canary") | {"model": subject.model}
            text = charts.template(root, subject.places[0].name, release, name=subject.name, space="somewhere")
            kube_schemas.check(charts.read(text))


def test_a_hundred_random_projects_render_right() -> None:
    seen: Counter[str] = Counter()
    judged(seen)
    assert seen["projects"] >= 100
    assert seen["objects"] > 10 * seen["projects"]
