"""`compose.yaml` and `compose/`: production on one machine.

Our server, MLflow with its database, Redis, an object store, Prometheus, Alertmanager and Grafana.

Nothing is published beyond loopback: put a proxy with TLS in front. Every container is unprivileged, cannot write its
root file system and has limits; what it keeps is in named volumes. Secrets are files, made once by `compose/secrets.sh`
and read inside; none stands in an argument or in this file. The machine serves the last environment of the project
file, following its committed release file.
"""

from collections.abc import Mapping
from typing import Any

from mainspring.deliver.render import pins
from mainspring.deliver.render.content import Content, Files, Text, one
from mainspring.deliver.render.images import FOLDER, METRICS_PORT, PORT
from mainspring.deliver.render.kubernetes import RUN_AS, namespace_of
from mainspring.deliver.render.subject import Place, Subject

_SECRETS = (
    "database",
    "grafana",
    "objects.json",
    "objects_key",
    "redis",
    "redis.conf",
    "scrape",
    "tokens.json",
    "webhook",
)
_VOLUMES = ("alerts", "dashboards", "database", "objects", "redis", "series", "state")
_MODELS = "s3://models"
_STORE, _ONLINE = "http://objects:8333", "redis://redis:6379"
_TMP = "/tmp:mode=1777"  # noqa: S108 - a tmpfs of each container
_CODE_OK = "import sys, urllib.request as u; sys.exit(u.urlopen('{url}', timeout=3).status != 200)"
_BY_VERSION = {
    "tracking": "by full version: no digest could be verified; set name@sha256:<64 hex> once you have pulled it"
}
_SECRETS_SH = """\
#!/bin/sh
# Make the secrets of compose.yaml that are not there yet; existing ones stay. Run it in the project's folder, once.
# The folder is closed to others; the files are readable, for containers run as other users.
set -eu
mkdir -p compose/secrets
chmod 700 compose/secrets
cd compose/secrets
random() { od -An -N 24 -t x1 /dev/urandom | tr -d ' \\n'; }
put() {
  test -s "$1" || cat > "$1"
  chmod 444 "$1"
}
for name in database grafana objects_key scrape; do
  random | put "$name"
done
if [ -s redis.conf ]; then sed -n 's/^requirepass //p' redis.conf; else random; fi | put redis
printf 'requirepass %s\\nappendonly yes\\ndir /data\\n' "$(cat redis)" | put redis.conf
printf '{"identities": [{"name": "mainspring", "credentials": [{"accessKey": "mainspring", "secretKey": "%s"}], \
"actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\\n' "$(cat objects_key)" | put objects.json
if [ -s ../../.mainspring/tokens.json ]; then
  put tokens.json < ../../.mainspring/tokens.json
fi
for name in tokens.json webhook; do
  test -s "$name" || echo "still missing: compose/secrets/$name" >&2
done
test -s tokens.json || echo "  make an API key: mainspring tokens create NAME, then run this again" >&2
test -s webhook || echo "  write the address that alerts go to into that file" >&2
"""


def files(subject: Subject) -> Files:
    """Return the compose file and what its services mount; nothing where no environment runs anywhere else."""
    if not subject.places:
        return {}
    place = subject.places[-1]
    found: dict[str, Content] = {
        "compose.yaml": one({
            "name": subject.name, "x-images": _BY_VERSION, "services": _services(subject, place),
            "networks": {"front": {}, "data": {"internal": True}, "watch": {"internal": True}},
            "volumes": {name: {} for name in _VOLUMES},
            "secrets": {name: {"file": f"./compose/secrets/{name}"} for name in _SECRETS},
        }),
        "compose/prometheus.yml": one(_prometheus(subject, place)),
        "compose/alertmanager.yml": one(_ALERTMANAGER),
        "compose/grafana/datasources/prometheus.yml": one(_DATASOURCE),
        "compose/grafana/dashboards/files.yml": one(_DASHBOARDS),
        "compose/secrets.sh": Text(_SECRETS_SH),
        "compose/secrets/.gitignore": Text("*\n!.gitignore\n"),
    }  # fmt: skip
    return found


def _services(subject: Subject, place: Place) -> dict[str, Any]:
    return {
        "server": _server(subject, place),
        "tracking": _tracking(),
        "database": _service(
            pins.POSTGRES, "70:70", memory="512m",
            environment={"POSTGRES_USER": "mlflow", "POSTGRES_DB": "mlflow",
                         "POSTGRES_PASSWORD_FILE": "/run/secrets/database"},
            secrets=["database"], networks=["data"], volumes=["database:/var/lib/postgresql/data"],
            tmpfs=["/run/postgresql:mode=1777", _TMP],
            healthcheck=_healthy("CMD", "pg_isready", "--username=mlflow", "--quiet"),
        ),
        "redis": _service(
            pins.REDIS, "999:1000", memory="512m", command=["redis-server", "/run/secrets/redis.conf"],
            secrets=["redis.conf"], networks=["data", "front"], ports=["127.0.0.1:6379:6379"], volumes=["redis:/data"],
            healthcheck=_healthy("CMD-SHELL", "redis-cli ping | grep -Eq 'PONG|NOAUTH'"),
        ),
        "objects": _service(
            pins.SEAWEEDFS, "1000:1000", memory="1g",
            command=["server", "-dir=/data", "-s3", "-s3.config=/run/secrets/objects.json",
                     "-master.volumeSizeLimitMB=1024", "-volume.max=0"],
            secrets=["objects.json"], networks=["data", "front"], ports=["127.0.0.1:8333:8333"],
            volumes=["objects:/data"], tmpfs=[_TMP],
            healthcheck=_healthy("CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:8333/healthz"),
        ),
        "prometheus": _service(
            pins.PROMETHEUS, "65534:65534", memory="1g", ports=["127.0.0.1:9090:9090"],
            command=["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus",
                     "--storage.tsdb.retention.time=30d"],
            secrets=["scrape"], networks=["watch", "front"],
            volumes=["./compose/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
                     "./monitoring/prometheus/promtool:/etc/prometheus/rules:ro", "series:/prometheus"],
            healthcheck=_healthy("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/-/healthy"),
        ),
        "alertmanager": _service(
            pins.ALERTMANAGER, "65534:65534", memory="128m",
            command=["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager",
                     "--cluster.listen-address="],
            secrets=["webhook"], networks=["watch", "front"],
            volumes=["./compose/alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro", "alerts:/alertmanager"],
            healthcheck=_healthy("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9093/-/healthy"),
        ),
        "grafana": _service(
            pins.GRAFANA, "472:0", memory="512m", ports=["127.0.0.1:3000:3000"],
            environment={"GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/grafana", "GF_USERS_ALLOW_SIGN_UP": "false",
                         "GF_AUTH_ANONYMOUS_ENABLED": "false", "GF_ANALYTICS_REPORTING_ENABLED": "false",
                         "GF_ANALYTICS_CHECK_FOR_UPDATES": "false", "GF_PLUGINS_PREINSTALL_DISABLED": "true"},
            secrets=["grafana"], networks=["watch", "front"], tmpfs=[_TMP],
            volumes=["./compose/grafana:/etc/grafana/provisioning:ro",
                     "./monitoring/grafana:/etc/dashboards:ro", "dashboards:/var/lib/grafana"],
            healthcheck=_healthy("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"),
        ),
    }  # fmt: skip


def _server(subject: Subject, place: Place) -> dict[str, Any]:
    named = place.stores.get("models", "")
    models = named if named.startswith("s3://") else _MODELS
    own = {
        "AWS_ENDPOINT_URL": _STORE, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "mainspring",
    }  # fmt: skip
    image = place.image or f"{subject.name}-serving:local"
    built = {} if place.image else {"build": {"context": ".", "dockerfile": f"{FOLDER}/Dockerfile"}}
    return {**built, **_service(
        image, f"{RUN_AS}:{RUN_AS}", memory="1g", ports=[f"127.0.0.1:{PORT}:{PORT}"], environment=own,
        **_with_secrets({"AWS_SECRET_ACCESS_KEY": "objects_key", "ONLINE_PASSWORD": "redis"}, "mainspring"),
        command=[
            "serve", f"--env={place.name}", "--host=0.0.0.0", f"--port={PORT}", "--metrics-host=0.0.0.0",
            f"--metrics-port={METRICS_PORT}", "--metrics-token-file=/run/secrets/scrape",
            "--release-file=/etc/mainspring/release.yaml", "--trust=/etc/mainspring/trust",
            "--tokens=/run/secrets/tokens.json", f"--models={models}", f"--online={_ONLINE}",
            "--drain=5",
            *(["--serving-file=/etc/mainspring/serving.yaml"] if place.serving else []),
        ],
        secrets=["objects_key", "redis", "scrape", "tokens.json"], networks=["front", "data", "watch"],
        volumes=[f"./environments/{place.name}:/etc/mainspring:ro", "state:/srv/project/.mainspring"],
        tmpfs=[_TMP],
        healthcheck=_healthy("CMD", "python3", "-c", _CODE_OK.format(url=f"http://127.0.0.1:{PORT}/v2/health/live")),
        depends_on={"objects": {"condition": "service_healthy"}}, stop_grace_period="30s",
    )}  # fmt: skip


def _tracking() -> dict[str, Any]:
    """Return MLflow with its database and artifacts inside; nothing of it runs jobs or calls home."""
    script = (
        'export MLFLOW_BACKEND_STORE_URI="postgresql://mlflow:$$(cat /run/secrets/database)@database:5432/mlflow"; '
        'export AWS_SECRET_ACCESS_KEY="$$(cat /run/secrets/objects_key)"; exec mlflow server'
    )
    return _service(
        pins.MLFLOW, f"{RUN_AS}:{RUN_AS}", memory="1g", ports=["127.0.0.1:5000:5000"],
        entrypoint=["/bin/sh", "-euc", script],
        environment={
            "MLFLOW_HOST": "0.0.0.0",  # noqa: S104 - inside its container; published on loopback only
            "MLFLOW_PORT": "5000", "MLFLOW_WORKERS": "2", "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow",
            "MLFLOW_SERVE_ARTIFACTS": "true", "MLFLOW_S3_ENDPOINT_URL": _STORE, "AWS_ACCESS_KEY_ID": "mainspring",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
            "HOME": _TMP.partition(":")[0],
        },
        secrets=["database", "objects_key"], networks=["front", "data"], tmpfs=[_TMP],
        healthcheck=_healthy("CMD", "python3", "-c", _CODE_OK.format(url="http://127.0.0.1:5000/health")),
        depends_on={name: {"condition": "service_healthy"} for name in ("database", "objects")},
    )  # fmt: skip


def _with_secrets(secrets: Mapping[str, str], program: str) -> dict[str, Any]:
    """Return an entrypoint that reads secret files into variables (variable -> file), where there is no other way."""
    read = "".join(f'export {variable}="$$(cat /run/secrets/{secret})"; ' for variable, secret in secrets.items())
    script = f'{read}exec {program} "$$@"'
    return {"entrypoint": ["/bin/sh", "-euc", script, program]}


def _service(image: str, user: str, *, memory: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a service's keys
    """Return a service as all of them are: unprivileged, limited, started again."""
    return {
        "image": image, "user": user, **more, "read_only": True, "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"], "restart": "unless-stopped", "init": True,
        "deploy": {"resources": {"limits": {"cpus": "2", "memory": memory, "pids": 512}}},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }  # fmt: skip


def _healthy(*test: str) -> dict[str, Any]:
    return {"test": list(test), "interval": "15s", "timeout": "5s", "retries": 5, "start_period": "60s"}


def _prometheus(subject: Subject, place: Place) -> dict[str, Any]:
    """Return a configuration that scrapes the server as the cluster's stack would: with its namespace as a label."""
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
        "rule_files": [f"/etc/prometheus/rules/{place.name}.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
        "scrape_configs": [{
            "job_name": subject.name, "authorization": {"credentials_file": "/run/secrets/scrape"},
            "static_configs": [{
                "targets": [f"server:{METRICS_PORT}"],
                "labels": {"namespace": namespace_of(subject, place), "service": subject.name},
            }],
        }],
    }  # fmt: skip


_ALERTMANAGER = {
    "route": {
        "receiver": "nobody", "group_by": ["alertname"], "group_wait": "30s", "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": [{"matchers": ['severity=~"critical|warning"'], "receiver": "webhook"}],
    },
    "receivers": [
        {"name": "nobody"},
        {"name": "webhook", "webhook_configs": [{"url_file": "/run/secrets/webhook", "send_resolved": True}]},
    ],
}  # fmt: skip
_DATASOURCE = {
    "apiVersion": 1,
    "datasources": [
        {"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "access": "proxy", "isDefault": True,
         "url": "http://prometheus:9090"},
    ],
}  # fmt: skip
_DASHBOARDS = {
    "apiVersion": 1,
    "providers": [
        {"name": "mainspring", "type": "file", "disableDeletion": True, "allowUiUpdates": False,
         "options": {"path": "/etc/dashboards", "foldersFromFilesStructure": False}},
    ],
}  # fmt: skip
