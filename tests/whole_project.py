"""A project of every kind of file: each platform, both schedulers, secrets, tracking, alerts, as its file says them."""

from pathlib import Path

from mainspring.app.rendering import subject_of
from mainspring.app.workspace import open_workspace
from mainspring.deliver.render.subject import Subject
from mainspring.project.new import create

PIN = "@sha256:" + "a" * 64
STORES = """{ledger: "secret://vault/ml/ledger#url", models: "s3://models/shop", tables: "gs://tables/shop",
      online: "redis://features.redis.svc:6379", tracking: "http://mlflow:5000"}"""
SCALED = """server: {cpu: 1, memory: 1Gi, grpc: true}
    autoscaling: {kind: keda, rows_per_second: 2000}
    gateway: {name: edge, namespace: gateways, hostnames: [shop.example]}
    identity: {iam.gke.io/gcp-service-account: shop@ops.iam.gserviceaccount.com}
    placement:
      server: {node_selector: {pool: '0e1'}, tolerations: [{key: spot}], pull_secrets: [registry], priority_class: high}
      steps: {node_selector: {pool: 'no'}, tolerations: [{key: a/b, value: 'yes'}], pull_secrets: [registry]}"""
PLACES = (
    ("dev", "deployment", "cronjob", "ingress: {host: shop.example, certificate: tls}"),
    ("qa", "rollouts", "cronworkflow", SCALED),
    ("staging", "kserve", "cronworkflow", "identity: {azure.workload.identity/client-id: '0e1'}"),
    ("edge", "kserve", "cronjob", "serverless: true"), ("production", "seldon", "cronworkflow", ""),
    ("next_one", "seldon", "cronworkflow", "seldon: v2"),
)  # fmt: skip
DELIVERY = f"""delivery:
  repository: https://git.example/ops/shop.git
  registry: registry.example/ops/shop
  base: registry.example/python{PIN}
  ci: github
  database: {{storage: 30Gi}}
  tracking:
    image: registry.example/mlflow{PIN}
    proxy: registry.example/envoy{PIN}
    issuer: https://id.example
    keys: https://id.example/jwks

alerts:
  page: [quality, unavailable]
  tell: [drift, stale_features]
  to: ["secret://env/ALERT_WEBHOOK", "secret://vault/ops/pager#key"]

"""


def environments() -> str:
    """Return the section `environments` with one of each kind."""
    made = [
        f"""  {name}:
    platform: {platform}
    replicas: {{min: 2, max: 8}}
    approvals: 1
    scheduler: {scheduler}
    image: registry.example/shop/ml-api{PIN}
    steps_image: registry.example/shop/steps{PIN}
    stores: {STORES}
    {more}
"""
        for name, platform, scheduler, more in PLACES
    ]
    return "environments:\n  local: {}\n" + "".join(made)


def write(folder: Path, surroundings: str = DELIVERY, places: str = "") -> Path:
    """Write the project's folder, with other sections `delivery`, `alerts` and `environments` where given."""
    root = folder / "shop"
    create(root, name="shop")
    path = root / "mainspring.yaml"
    text = path.read_text(encoding="utf-8")
    start = text.index("environments:\n")
    path.write_text(text[:start] + surroundings + (places or environments()), encoding="utf-8")
    return root


def subject(root: Path) -> Subject:
    """Return the project as renderers see it."""
    return subject_of(open_workspace(root))
