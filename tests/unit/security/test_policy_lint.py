"""The policy lint finds every fault of an unsafe tree, nothing in a safe one, and survives any file."""

import json
import os
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.adapters.yaml.dump import dump
from mainspring.adapters.yaml.read import MAX_BYTES, kind_of, read_text, read_tree
from mainspring.deliver.render.content import Objects
from mainspring.kernel.errors import InvalidValue
from mainspring.security.lint import RULES, Severity, lint, sarif

UNSAFE = Path(__file__).parent / "policy" / "unsafe"
# the ten groups of faults that a well-known article teaches, and the rules that must name each
GROUPS = {
    "role.yaml": {"rbac-pods-and-secrets", "rbac-unnamed-secrets", "rbac-wildcard"},
    "tracking.yaml": {
        "image-mutable", "tracking-exposed", "namespace-default", "pod-runs-as-root", "pod-privilege", "pod-host",
        "pod-capabilities", "pod-seccomp", "pod-writable-root", "pod-token", "pod-limits", "pod-probes",
        "secret-inline", "network-open",
    },
    "application.yaml": {
        "gitops-default-project", "gitops-moving-revision", "gitops-unguarded-prune", "namespace-default",
        "gitops-open-project",
    },
    "seldon.yaml": {"model-runs-code", "model-unpinned"},
    ".github/workflows/deploy.yml": {
        "action-unpinned", "workflow-permissions", "token-broad", "workflow-edits-yaml", "pip-unpinned",
        "workflow-injection",
    },
    "cron.yaml": {"cron-overlap", "cron-invalid", "image-mutable", "template-missing", "network-open"},
    "monitor.yaml": {"service-selects-nothing", "monitor-selects-nothing", "image-mutable"},
    "install.sh": {
        "secret-on-command-line", "file-missing", "tracking-exposed", "docker-remote-add", "image-mutable",
        "pip-unpinned",
    },
    "Dockerfile": {"image-mutable", "docker-secret", "docker-remote-add", "pip-unpinned", "docker-root"},
    "secret.yaml": {"secret-inline"},
    "docker-compose.yml": {"pod-privilege", "pod-host", "image-mutable", "secret-inline", "compose-published"},
    "broken.yaml": {"not-readable"},
    "names.yaml": {"port-missing", "secret-missing", "role-dangling", "rbac-wildcard"},
}  # fmt: skip
FOUND = lint(read_tree(UNSAFE))


@pytest.mark.parametrize("path", GROUPS)
def test_each_unsafe_file_is_refused_by_its_rules(path: str) -> None:
    assert GROUPS[path] <= {item.rule.id for item in FOUND if item.path == path}


def test_every_rule_is_proved_by_some_file() -> None:
    assert {item.rule.id for item in FOUND} == set(RULES)


def test_a_finding_names_its_line() -> None:
    lines = {item.rule.id: item.line for item in FOUND if item.path == "tracking.yaml"}
    assert (lines["namespace-default"], lines["secret-inline"]) == (3, 11)
    shell = {item.rule.id: item.line for item in FOUND if item.path == "install.sh"}
    assert (shell["secret-on-command-line"], shell["tracking-exposed"]) == (2, 5)


def safe_pod() -> dict[str, object]:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "api", "image": "registry.example/api@sha256:" + "a" * 64,
            "securityContext": {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            },
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
            "readinessProbe": {}, "livenessProbe": {},
            "env": [{"name": "TOKEN_FILE", "value": "/run/token"}],
        }],
    }  # fmt: skip


def test_a_safe_tree_has_no_finding() -> None:
    text = dump(Objects([
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api", "namespace": "a"}, "spec": safe_pod()},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "a"},
         "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a", "namespace": "argocd"},
         "spec": {"project": "a", "source": {"targetRevision": "main"}, "destination": {"namespace": "a"},
                  "syncPolicy": {"automated": {"prune": True, "allowEmpty": False},
                                 "syncOptions": ["PruneLast=true"]}}},
    ]))  # fmt: skip
    script = (
        "#!/bin/sh\nvault kv put secret/a key=@file\npip install --require-hashes -r a.lock\n# vault kv put x a=b\n"
    )
    found = lint([read_text("a.yaml", "kubernetes", text), read_text("a.sh", "script", script)])
    assert [str(item) for item in found] == []


def test_each_fault_of_a_compose_file_is_told_at_its_line_and_what_is_near_is_not() -> None:
    found = [(item.line, item.rule.id) for item in FOUND if item.path == "docker-compose.yml"]
    assert found == [
        (3, "image-mutable"), (4, "pod-privilege"), (5, "pod-host"), (8, "secret-inline"), (9, "pod-host"),
        (14, "compose-published"), (16, "secret-inline"), (20, "compose-published"), (25, "compose-published"),
    ]  # fmt: skip


def test_a_kubernetes_list_is_opened() -> None:
    text = dump(Objects([{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default"}, "spec": safe_pod()},
    ]}]))  # fmt: skip
    assert "namespace-default" in {item.rule.id for item in lint([read_text("a.yaml", "kubernetes", text)])}


def test_a_line_is_excused_only_with_a_reason() -> None:
    row = "docker run api:latest"
    plain = f"#!/bin/sh\n\n{row}\n"
    assert len(lint([read_text("a.sh", "script", plain)])) == 1
    excused = f"#!/bin/sh\n\n{row}  # mainspring: allow image-mutable because it is a local trial\n"
    assert lint([read_text("a.sh", "script", excused)]) == []
    for mark in ("# mainspring: allow image-mutable", "# mainspring: allow pod-host because it is a local trial"):
        assert len(lint([read_text("a.sh", "script", f"#!/bin/sh\n\n{row}  {mark}\n")])) == 1


def test_documents_are_read_for_commands_and_not_for_trials() -> None:
    prose = "vault kv put a b=c\n```\nvault kv put a b=c\npip install mainspring\n```\n"
    found = lint([read_text("a.md", "prose", prose)])
    assert [(item.rule.id, item.line) for item in found] == [("secret-on-command-line", 3)]


def test_sarif_keeps_to_its_schema_whatever_a_file_is_called() -> None:
    schema = json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text("utf-8"))
    odd = [replace(item, path=f"a b/%ü{{}}/{item.path}") for item in FOUND]
    validator = jsonschema_rs.Draft7Validator(schema, validate_formats=True)
    for found in (FOUND, odd, []):
        assert [str(error) for error in validator.iter_errors(sarif(found, "1.2.3"))] == []
    broken = sarif(FOUND, "1.2.3")
    broken["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] = "a b"
    assert not validator.is_valid(broken)


def test_sarif_names_rule_level_and_place() -> None:
    log = json.loads(json.dumps(sarif(FOUND, "1.2.3")))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert len(run["results"]) == len(FOUND)
    for result, item in zip(run["results"], FOUND, strict=True):
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == item.rule.id
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
    assert {result["level"] for result in run["results"]} == {Severity.ERROR.value, Severity.WARNING.value}


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "&a [*a]", "a: &a [x,x]\nb: &b [*a,*a]\n", "[" * 300, "!!python/object:os.system x", "\x00", "a: *b"],
)
def test_odd_yaml_is_read_or_told(text: str) -> None:
    for kind in ("kubernetes", "workflow"):
        assert all(item.rule.id == "not-readable" for item in lint([read_text("a.yaml", kind, text)]))


def test_an_alias_bomb_is_bounded() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    source = read_text("a.yaml", "kubernetes", "\n".join(rows))
    assert "values" in source.failed


def test_large_files_links_and_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"a" * (MAX_BYTES + 1))
    (tmp_path / "link.yaml").symlink_to(UNSAFE / "role.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    assert {source.path: bool(source.failed) for source in read_tree(tmp_path)} == {
        "big.yaml": True,
        "latin.yaml": True,
    }
    assert len(read_tree(UNSAFE / "role.yaml")) == 1
    with pytest.raises(InvalidValue):
        read_tree(tmp_path / "absent")


_KEYS = st.sampled_from(["apiVersion", "kind", "metadata", "spec", "template", "containers", "rules", "jobs", "run"])
_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["Pod", "Role", "CronJob", "Application", "*", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _ODD, max_size=6))
def test_no_document_breaks_a_rule(document: dict[str, object]) -> None:
    text = dump(Objects([document]))
    for kind in ("kubernetes", "workflow"):
        lint([read_text("a.yaml", kind, text)])


@pytest.mark.parametrize(("policy", "asked"), [("Never", False), ("OnFailure", False), ("Always", True)])
def test_only_a_pod_that_runs_for_ever_needs_probes(policy: str, asked: bool) -> None:
    spec = {**safe_pod(), "restartPolicy": policy}
    for container in spec["containers"]:  # type: ignore[attr-defined]
        container.pop("readinessProbe", None)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}, "spec": spec}
    found = lint([read_text("pod.yaml", "kubernetes", dump(Objects([pod])))])
    assert ("pod-probes" in {item.rule.id for item in found}) == asked


def test_names_that_lead_nowhere_are_told_once_each() -> None:
    told = sorted((item.line, item.what) for item in FOUND if item.rule.severity is Severity.WARNING)
    here = [what for line, what in told if any(item.path == "names.yaml" and item.what == what for item in FOUND)]
    assert sorted(here) == [
        "Secret 'web-pins' is made by no file", "no Service 'web' has {'number': 8080}",
        "no binding uses role 'writer'",
        "no pod opens port 'web'", "role 'reader' is in no file",
    ]  # fmt: skip


def rules_in(path: str, text: str) -> set[str]:
    kind = kind_of(Path(path))
    assert kind is not None
    return {item.rule.id for item in lint([read_text(path, kind, text)])}


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        (".github/workflows/a.yml", "permissions: write-all\njobs: {a: {steps: []}}\n", "workflow-permissions"),
        (".github/actions/a/action.yml", "runs: {steps: [{uses: actions/cache@v4}]}\n", "action-unpinned"),
        (
            ".github/workflows/a.yml",
            "on: {pull_request_target: {}}\npermissions: {}\njobs:\n  a:\n    steps:\n"
            "    - {uses: './x', with: {ref: '${{ github.event.pull_request.head.sha }}'}}\n",
            "workflow-injection",
        ),
        (".gitlab-ci.yml", "a: {image: 'python:3', script: [make]}\n", "image-mutable"),
        (".github/workflows/a.yml", "jobs: {a: {container: {image: 'node:18'}, steps: []}}\n", "image-mutable"),
        ("a.sh", "docker login -u me -p hunter22 registry.example\n", "secret-on-command-line"),
        ("values.yaml", "key: AKIA" + "ABCDEFGHIJKLMNOP\n", "secret-inline"),
        ("README.md", "token: ghp_" + "a" * 36 + "\n", "secret-inline"),
    ],
)
def test_faults_of_strangers_trees(path: str, text: str, rule: str) -> None:
    assert rule in rules_in(path, text)


def test_an_init_container_ends_and_needs_no_probes() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "a"}, "spec": safe_pod()}
    pod["spec"]["initContainers"] = [{"name": "first", "image": "x"}]  # type: ignore[index]
    found = lint([read_text("a.yaml", "kubernetes", json.dumps(pod))])
    assert "first" in str([item.what for item in found])
    assert "pod-probes" not in {item.rule.id for item in found}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_and_a_link_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link.yaml").symlink_to(UNSAFE / "role.yaml")
    assert read_tree(tmp_path) == []
