"""The rules by id, what each finding says, and how a line is excused.

Ids are stable. `kube_score` names the check of kube-score that looks at the same thing, where there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: an error refuses, a warning is told."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must not be. fix: what to do instead. kube_score: the matching check there, or ""."""

    id: str
    title: str
    fix: str
    severity: Severity = Severity.ERROR
    kube_score: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where a rule does not hold. line: from 1. what: the rule's title with the value."""

    rule: Rule
    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what} [{self.rule.id}]\n  fix: {self.rule.fix}"


_WARN = Severity.WARNING
_ALL = (
    Rule("rbac-pods-and-secrets", "one role creates pods and reads secrets: it can read any secret of the namespace",
         "split it: one service account creates pods, another reads secrets that resourceNames lists"),
    Rule("rbac-wildcard", "a role grants everything", "name the API groups, resources and verbs that are used"),
    Rule("rbac-unnamed-secrets", "a role reads every secret of the namespace", "list the secrets in resourceNames"),
    Rule("image-mutable", "an image is named by a tag, which can change unseen", "pin it: name@sha256:<digest>",
         kube_score="container-image-tag"),
    Rule("tracking-exposed", "a tracking server listens on every address, so the proxy in front can be gone around",
         "bind 127.0.0.1 and open only the proxy's port by a NetworkPolicy"),
    Rule("gitops-default-project", "an Application belongs to Argo CD's default project, which allows everything",
         "make an AppProject that names repositories, namespaces and kinds"),
    Rule("gitops-moving-revision", "an Application follows HEAD", "name the release branch, a tag or a commit"),
    Rule("gitops-unguarded-prune", "an Application prunes without a guard",
         "add syncOptions PruneLast=true and allowEmpty: false"),
    Rule("gitops-open-project", "an AppProject allows every repository, namespace or kind", "name them"),
    Rule("namespace-default", "an object lives in the namespace `default`", "give each environment its own namespace"),
    Rule("model-runs-code", "a model's format can run code when it is loaded",
         "export to ONNX (or safetensors), and verify digest and signature before loading"),
    Rule("model-unpinned", "a model is named without a digest", "name it by digest and verify its signature at load"),
    Rule("action-unpinned", "an action is not pinned by commit", "pin it: owner/action@<40 hex digits>  # v1.2.3"),
    Rule("workflow-permissions", "a workflow has no permissions block: its token may write everything",
         "add permissions: {contents: read} and widen it for single jobs"),
    Rule("token-broad", "a personal access token reaches every repository of its owner",
         "use an app or a deploy key that may write the contents of this repository only"),
    Rule("workflow-edits-yaml", "a workflow edits YAML with a text tool and pushes it",
         "change the release file by `mainspring promote`, which validates and commits it"),
    Rule("workflow-injection", "text that strangers choose is pasted into a script",
         "pass it through env and quote the variable"),
    Rule("secret-on-command-line", "a secret stands on a command line: in the shell's history and the process list",
         "read it from a file or standard input: vault kv put path key=@file"),
    Rule("secret-inline", "a secret stands in the file", "refer to a secret: secretKeyRef, ExternalSecret, secret://"),
    Rule("pod-runs-as-root", "a pod may run as root", "set runAsNonRoot: true",
         kube_score="container-security-context-user-group-id"),
    Rule("pod-privilege", "a container may gain privileges or is privileged",
         "set allowPrivilegeEscalation: false and leave privileged out",
         kube_score="container-security-context-privileged"),
    Rule("pod-capabilities", "a container keeps capabilities", "set capabilities: {drop: [ALL]}"),
    Rule("pod-seccomp", "a pod has no seccomp profile", "set seccompProfile: {type: RuntimeDefault}",
         kube_score="container-seccomp-profile"),
    Rule("pod-writable-root", "a container can write its root file system", "set readOnlyRootFilesystem: true",
         kube_score="container-security-context-readonlyrootfilesystem"),
    Rule("pod-token", "a pod mounts a service account token that it may not need",
         "set automountServiceAccountToken: false, or true on purpose with a role of its own"),
    Rule("pod-limits", "a container has no memory limit or no requests", "set resources.requests and limits.memory",
         kube_score="container-resources"),
    Rule("pod-probes", "a serving container has no readiness or liveness probe", "add readinessProbe and livenessProbe",
         kube_score="pod-probes"),
    Rule("pod-host", "a pod shares the host's network, processes or files",
         "leave hostNetwork, hostPID, hostIPC and hostPath out"),
    Rule("network-open", "a namespace with pods has no default-deny NetworkPolicy for both directions",
         "deny ingress and egress for all pods, then open the flows that are used", kube_score="pod-networkpolicy"),
    Rule("cron-overlap", "a CronJob's runs may overlap or never end",
         "set concurrencyPolicy: Forbid, startingDeadlineSeconds and activeDeadlineSeconds",
         kube_score="cronjob-has-deadline"),
    Rule("cron-invalid", "a schedule is not five cron fields", "write five fields, for example 0 */6 * * *"),
    Rule("pip-unpinned", "packages are installed by name alone",
         "install from a lock with hashes: pip install --require-hashes -r requirements.lock"),
    Rule("docker-root", "an image runs as root", "add USER 10001 before the command"),
    Rule("docker-secret", "a secret is copied or set into an image", "mount it: RUN --mount=type=secret"),
    Rule("docker-remote-add", "an image downloads and runs what nobody verified", "copy a file with a known digest"),
    Rule("compose-published", "a store is published beyond this machine, where nothing stands before it",
         "publish it on loopback, 127.0.0.1:5432:5432, or not at all: services reach each other by name"),
    Rule("service-selects-nothing", "a Service selects no pod of these files", "make selector and pod labels agree",
         _WARN, kube_score="service-targets-pod"),
    Rule("monitor-selects-nothing", "a ServiceMonitor names a port or labels that no Service of these files has",
         "make its selector and port name agree with the Service", _WARN),
    Rule("port-missing", "a Service or an Ingress leads to a port that nothing of these files opens",
         "make port numbers or names agree", _WARN, kube_score="ingress-targets-service"),
    Rule("secret-missing", "a pod names a Secret that these files do not make", "make it, or correct the name", _WARN),
    Rule("role-dangling", "a role and its binding do not meet: what it grants is used by nobody",
         "bind the role or remove it", _WARN),
    Rule("template-missing", "a workflow names a template that does not exist", "add the template or correct the name"),
    Rule("file-missing", "a file is named that does not exist here", "add the file or remove its mention", _WARN),
    Rule("not-readable", "a file cannot be parsed", "correct its YAML; duplicate keys and tags are refused"),
)  # fmt: skip
RULES: Mapping[str, Rule] = {rule.id: rule for rule in _ALL}
