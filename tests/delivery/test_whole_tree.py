"""A whole rendered project, with every platform, before the real tools: schemas, policies, scanners, every reader."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml as old_reader  # type: ignore[import-untyped]
from ruamel.yaml import YAML
from tests import charts, kube_schemas, tools, whole_project

from mainspring.app.checking import check_policy
from mainspring.deliver.render.subject import Subject
from mainspring.kernel.digests import digest_bytes

pytestmark = pytest.mark.tools
ROOT = Path(__file__).resolve().parents[2]
NO_OBJECTS = ("helm/", "environments/", ".github/", "compose", "monitoring/prometheus/promtool/")  # other YAML
RELEASES: dict[str, dict[str, Any]] = {"alone": {}, "canary": {"weight": 25, "mode": "canary"},
                                       "shadow": {"weight": 0, "mode": "shadow"}}  # fmt: skip
ACCEPTED = {  # checkov, offline, tells no severities: what it may say, and why
    "CKV_K8S_35": "the object stores' clients read their credentials from the environment",
    "CKV_K8S_8": "a pod that ends (helm test) lives no longer than its question",
    "CKV_K8S_9": "a pod that ends (helm test) is asked by nobody",
    "CKV_DOCKER_7": "the base is an ARG that names a digest",
    "CKV_DOCKER_2": "steps end, and Windows images are probed by who runs them",
    "CKV_DOCKER_10": "C:\\build is absolute",
}
Found = dict[str, list[dict[str, Any]]]


class Tree:
    """The written project: its folder, its files, its objects by file, helm's included."""

    def __init__(self, folder: Path) -> None:
        self.root = whole_project.write(folder)
        self.subject: Subject = whole_project.subject(self.root)
        self.files = charts.write(self.subject, self.root)
        self.objects: Found = {
            path: charts.read(data.decode())
            for path, data in self.files.items()
            if path.endswith((".yaml", ".yml")) and not path.startswith(NO_OBJECTS)
        }
        made = self.root / "made"
        made.mkdir()
        for place in self.subject.places:
            for name, challenger in RELEASES.items():
                release = charts.release(**challenger) | {"model": "shop"}
                space = place.name.replace("_", "-")
                text = charts.template(self.root, place.name, release, name="shop", space=f"shop-{space}")
                (made / f"{place.name}-{name}.yaml").write_text(text)
                self.objects[f"made/{place.name}-{name}.yaml"] = charts.read(text)
        (self.root / "release.json").unlink()

    def each(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (path, object) of every object."""
        return ((path, document) for path, documents in self.objects.items() for document in documents)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("whole"))


def test_every_object_of_every_kind_is_right_and_the_unverified_are_those_listed(tree: Tree) -> None:
    wrong, used = [], set()
    for path, document in tree.each():
        used.add((document["apiVersion"], document["kind"]))
        wrong += [f"{path}: {document['kind']}: {text}" for text in kube_schemas.mistakes(document)]
    assert wrong == []
    options = {("keda.sh/v1alpha1", "ScaledObject"), ("gateway.networking.k8s.io/v1", "HTTPRoute")}
    assert set(kube_schemas.UNVERIFIED) - used <= options
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert [kind for _, kind in kube_schemas.UNVERIFIED if kind not in page] == []


def test_our_own_lint_finds_nothing(tree: Tree) -> None:
    assert [str(finding) for finding in check_policy(tree.root).findings] == []


def test_trivy_finds_nothing_high(tree: Tree) -> None:
    # made/ holds what helm makes; the others hold no kind that Trivy has a rule for
    unasked = [word for name in ("helm", "monitoring", "argocd", "compose") for word in ("--skip-dirs", name)]
    argv = [tools.program("trivy"), "config", "--skip-check-update", "--severity", "HIGH,CRITICAL", "--format", "json",
            "--quiet", *unasked, "."]  # fmt: skip
    done = subprocess.run(argv, cwd=tree.root, capture_output=True, text=True, check=False, env=tools.quiet())
    results = json.loads(done.stdout)["Results"]
    assert len(results) > 10
    found = {(m["ID"], r["Target"].partition("/")[0]) for r in results for m in r.get("Misconfigurations") or ()}
    assert found <= {("AVD-KSV-0109", "workflows")}  # "ConfigMap with secrets": the project file, which says secret://


def test_checkov_finds_nothing_but_what_is_accepted(tree: Tree) -> None:
    argv = [tools.program("checkov", "checkov"), "-d", ".", "--skip-path", "helm"]
    argv += ["--framework", "kubernetes", "dockerfile", "--skip-download", "--compact", "--quiet", "--output", "json"]
    done = subprocess.run(argv, cwd=tree.root, capture_output=True, text=True, check=False, env=tools.quiet())
    reports = json.loads(done.stdout)
    assert sum(report["summary"]["passed"] for report in reports) > 500
    failed = {(c["check_id"], c["resource"]) for report in reports for c in report["results"]["failed_checks"]}
    assert {found for found in failed if found[0] not in ACCEPTED} == set()
    assert all("test" in resource for check, resource in failed if check in ("CKV_K8S_8", "CKV_K8S_9"))


def test_every_reader_takes_every_file_for_the_same(tree: Tree) -> None:
    new_reader = YAML(typ="safe")
    texts = {path: data.decode() for path, data in tree.files.items() if path.endswith((".yaml", ".yml"))}
    read = 0
    for path, text in texts.items():
        if not path.startswith("helm/ml-api-chart/templates/") and not path.startswith(".github/"):  # `on:` is theirs
            read += 1
            assert list(new_reader.load_all(text)) == list(old_reader.load_all(text, old_reader.CSafeLoader)), path
        assert "\r" not in text
        assert text.endswith("\n")
    assert read > 40


def test_kustomize_takes_every_plain_object_and_an_overlay_changes_what_it_names_alone(
    tree: Tree, tmp_path: Path
) -> None:
    plain = [
        path for path in tree.objects if path.partition("/")[0] in ("security", "monitoring", "workflows", "argocd")
    ]
    base, overlay = tmp_path / "base", tmp_path / "overlay"
    for path in plain:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_bytes(tree.files[path])
    (base / "kustomization.yaml").write_text(json.dumps({"resources": plain}))
    overlay.mkdir()
    labels = [{"pairs": {"team": "no"}}]  # a text that YAML 1.1 retypes stays one
    (overlay / "kustomization.yaml").write_text(json.dumps({"resources": ["../base"], "labels": labels}))

    def built(folder: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
        argv = [tools.program("kubectl"), "kustomize", str(folder)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env=tools.quiet())
        return named(
            charts.read(done.stdout.replace(": =\n", ": '='\n"))
        )  # it writes = plain, and our reader has a rule

    ours = named(document for path in plain for document in tree.objects[path])
    assert built(base) == ours
    assert len(ours) > 100
    for document in ours.values():
        document["metadata"].setdefault("labels", {})["team"] = "no"
    assert built(overlay) == ours


def named(documents: Iterable[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return objects by kind, namespace and name; each has a place of its own."""
    found = [json.loads(json.dumps(document)) for document in documents]
    keys = [(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in found]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found, strict=True))


def test_files_are_the_same_whatever_the_locale_the_seed_and_the_zone(tree: Tree) -> None:
    code = (
        "import sys, json; from pathlib import Path; from tests import whole_project as w\n"
        "from mainspring.app.rendering import render_ports; from mainspring.flows.render import expected\n"
        "from mainspring.kernel.digests import digest_bytes\n"
        "files = expected(w.subject(Path(sys.argv[1])), render_ports(Path('.')))\n"
        "print(json.dumps({path: digest_bytes(data) for path, data in files.items()}))"
    )
    seen = {path: digest_bytes(data) for path, data in tree.files.items()}
    for seed, locale, zone in (("1", "C", "Asia/Kolkata"), ("77", "tr_TR.UTF-8", "UTC")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "LANG": locale, "TZ": zone}
        argv = [sys.executable, "-c", code, str(tree.root)]
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == seen


def names(tree: Tree, kind: str) -> set[tuple[str, str]]:
    return {(d["metadata"].get("namespace", ""), d["metadata"]["name"]) for _, d in tree.each() if d["kind"] == kind}


def inside(value: Any, key: str) -> Iterator[Any]:  # noqa: ANN401 - any YAML value
    """Yield what stands under a key anywhere in a value."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from inside(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from inside(item, key)


def test_accounts_config_maps_and_secrets_that_pods_name_are_there(tree: Tree) -> None:
    accounts, maps = names(tree, "ServiceAccount"), names(tree, "ConfigMap")
    secrets, missing = names(tree, "ExternalSecret"), set()
    for path, document in tree.each():
        space = document["metadata"].get("namespace", "")
        if document["kind"] == "Application":
            continue
        for account in inside(document, "serviceAccountName"):
            missing |= {(path, "account", account)} if (space, account) not in accounts else set()
        for source in (*inside(document, "configMap"), *inside(document, "configMapKeyRef")):
            missing |= {(path, "map", source["name"])} if (space, source["name"]) not in maps else set()
        for source in (*inside(document, "secretKeyRef"), *inside(document, "secret")):
            if isinstance(source, dict):
                name = source.get("name") or source.get("secretName")
                missing |= {(path, "secret", name)} if (space, name) not in secrets else set()
    assert missing == set()


def test_each_policy_is_for_pods_that_exist_and_each_pod_has_one(tree: Tree) -> None:
    pods: set[tuple[str, str]] = set()
    for _, document in tree.each():
        if document["kind"] not in ("Service", "NetworkPolicy", "ServiceMonitor", "PodMonitor"):
            for labels in inside(document, "labels"):
                if isinstance(labels, dict) and "app.kubernetes.io/component" in labels:
                    pods.add((document["metadata"].get("namespace", ""), labels["app.kubernetes.io/component"]))
    policies = {
        (d["metadata"]["namespace"], d["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component"))
        for _, d in tree.each()
        if d["kind"] == "NetworkPolicy"
    }
    assert {policy for policy in policies if policy[1] and policy not in pods} == set()
    spaces = {space for space, _ in policies}
    assert {(space, None) for space in spaces} <= policies
    assert {(space, "server") for space in spaces} <= policies


def test_argo_cds_project_allows_exactly_what_is_rendered(tree: Tree) -> None:
    (project,) = [d for p, d in tree.each() if p == "argocd/project.yaml"]
    allowed = {(item["group"], item["kind"]) for item in project["spec"]["namespaceResourceWhitelist"]}
    spaces = {item["namespace"] for item in project["spec"]["destinations"]}
    for path, document in tree.each():
        if path.startswith("argocd/") or document["kind"] == "Namespace":
            continue
        group, slash, _ = document["apiVersion"].partition("/")
        assert (group if slash else "", document["kind"]) in allowed | {("", "Pod")}, path  # helm test's own pod
        assert document["metadata"]["namespace"] in spaces, path


def test_no_secret_of_the_environment_reaches_a_file(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    from mainspring.app.rendering import render_ports
    from mainspring.flows.render import expected

    for name in ("ALERT_WEBHOOK", "AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "LEDGER_URL"):
        monkeypatch.setenv(name, "canary-5f2e81c4")
    made = expected(whole_project.subject(tree.root), render_ports(tree.root))
    assert not [path for path, data in made.items() if b"canary-5f2e81c4" in data]
    assert not [path for path, document in tree.each() if document["kind"] == "Secret"]
