"""What pipelines and one-machine production take from others, each by commit or digest. A new version is one line here.

Every pin was found in several unrelated public repositories under the version beside it; none was fetched here. What
could not be found that way has no digest: kube-score is a variable that `mainspring ci secrets` asks for, and MLflow's
image goes by its full version.
"""

from collections.abc import Mapping

ACTIONS: Mapping[str, tuple[str, str]] = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("0b93645e9fea7318ecaed2b359559ac225c90a2b", "v5.3.0"),
    "actions/download-artifact": ("fa0a91b85d4f404e444e00e005971372dc801d16", "v4.1.8"),
    "actions/upload-artifact": ("b4b15b8c7c6ac21ea08fcf65892d2ee8f75cf882", "v4.4.3"),
    "actions/create-github-app-token": ("bcd2ba49218906704ab6c1aa796996da409d3eb1", "v3.2.0"),
    "docker/login-action": ("9780b0c442fbb1117ed29e0efdff1e18412f7567", "v3.3.0"),
    "docker/setup-buildx-action": ("c47758b77c9736f4b2ef4073d4d51994fabfe349", "v3.7.1"),
    "docker/build-push-action": ("48aba3b46d1b1fec4febb7c5d0c644b249a11355", "v6.10.0"),
    "sigstore/cosign-installer": ("dc72c7d5c4d10cd6bcb8cf6e3fd625a9e5e537da", "v3.7.0"),
}
"""Action -> (commit, the version that it is)."""

PYTHON = "python:3.11.15-bookworm@sha256:a8f8fbe1a0edc9e4dddafa64ba73f7e04be7be5ebc23f332362e779e0a2e4e52"
HELM = "alpine/helm:3.18.4@sha256:e7ecbf4a200dea73d64bfb8cb0936829164945f2b4d02a0274093073ee8d264f"
DOCKER = "docker:29.8.1-dind@sha256:3f3c01aaaebf7cce837356b688b7c059a4749f10bd7660dec7c58fc454a283f0"
TRIVY = (
    "ghcr.io/aquasecurity/trivy:0.74.0@sha256:62b1e65e8869bc4b4c6aa4fa2b21595256c7c2f6018a9d9ad61caf87187c1969"
)  # fmt: skip
COSIGN = (
    "ghcr.io/sigstore/cosign/cosign:v2.4.3"
    "@sha256:c77247c92f4dfea851c70555738226498393e34e2f9ca83cb959e51c230e4ad7"
)  # fmt: skip
PROMETHEUS = "prom/prometheus:v3.5.0@sha256:63805ebb8d2b3920190daf1cb14a60871b16fd38bed42b857a3182bc621f4996"
ALERTMANAGER = "prom/alertmanager:v0.28.1@sha256:27c475db5fb156cab31d5c18a4251ac7ed567746a2483ff264516437a39b15ba"
GRAFANA = "grafana/grafana:12.1.1@sha256:a1701c2180249361737a99a01bc770db39381640e4d631825d38ff4535efa47d"
POSTGRES = "postgres:17-alpine@sha256:742f40ea20b9ff2ff31db5458d127452988a2164df9e17441e191f3b72252193"
REDIS = "redis:7.4-alpine@sha256:ff02b58f971e7d7d156a1267e283fcbbeee91773b6aa36c49dac28ecfe28eadf"
SEAWEEDFS = "chrislusf/seaweedfs:4.29@sha256:d47c7ee99fcb951351d7194915f4e3a5ea604a8e8871183d713907dec4fb9bf5"
MLFLOW = "ghcr.io/mlflow/mlflow:v3.14.0-full"
KIND_NODE = "kindest/node:v1.33.1@sha256:050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f"


def action(name: str) -> str:
    """Return what a workflow says to use an action: its commit, never a tag."""
    return f"{name}@{ACTIONS[name][0]}"
