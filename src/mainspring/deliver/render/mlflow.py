"""`security/mlflow.yaml`: MLflow on loopback, reached only through Envoy, which checks tokens and knows who may write.

A caller brings a JSON Web Token of the named issuer and audience (RFC 7519, keys by RFC 7517). Writers may do
everything, readers may GET and ask the searches that MLflow answers to POST; the rest is 403, no token 401. MLflow's
own port is bound to 127.0.0.1 inside the pod, so the proxy cannot be gone around. Envoy: "JWT Authentication", "RBAC".
"""

import json
from typing import Any

from mainspring.deliver.render.access import account
from mainspring.deliver.render.content import Content, Files, Objects
from mainspring.deliver.render.endpoints import endpoint
from mainspring.deliver.render.kubernetes import KEPT, container_security, kind, metadata, pod_security, selector
from mainspring.deliver.render.networks import PROXY_PORT, tracked_here
from mainspring.deliver.render.subject import Place, Subject, Tracking

NAME, PORT, ADMIN_PORT = "mlflow", 5000, 9901
_TMP = "/tmp"  # noqa: S108 - a volume of the pod's own
SEARCHES = tuple(
    f"/{api}/2.0/mlflow/{what}"
    for api in ("api", "ajax-api")
    for what in ("runs/search", "experiments/search", "registered-models/search", "model-versions/search")
)
"""What MLflow's page and clients ask by POST and what changes nothing."""
_TYPE = "type.googleapis.com/envoy."
_HTTP, _PAYLOAD = f"{_TYPE}extensions.filters.http", "token"


def files(subject: Subject) -> Files:
    """Return MLflow with its proxy for each environment whose tracking store is `http://mlflow:<port>`."""
    places = [place for place in subject.places if tracked_here(place)]
    if subject.tracking is None or not places:
        return {}
    objects = [document for place in places for document in _place(subject, place, subject.tracking)]
    found: dict[str, Content] = {"security/mlflow.yaml": Objects(objects)}
    return found


def envoy(tracking: Tracking, *, listen: int = PROXY_PORT, upstream: int = PORT) -> dict[str, Any]:
    """Return Envoy's bootstrap configuration."""
    return {
        "admin": {"address": _socket("127.0.0.1", ADMIN_PORT)},
        "static_resources": {
            "listeners": [{
                "name": "proxy", "address": _socket("0.0.0.0", listen),  # noqa: S104 - in a pod, behind a NetworkPolicy
                "per_connection_buffer_limit_bytes": 1 << 20,
                "filter_chains": [{"filters": [_manager(tracking)]}],
            }],
            "clusters": [_cluster(NAME, "127.0.0.1", upstream), _issuer(tracking)],
        },
    }  # fmt: skip


def _manager(tracking: Tracking) -> dict[str, Any]:
    routes = [{"match": {"prefix": "/"}, "route": {
        "cluster": NAME, "timeout": "300s", "host_rewrite_literal": f"127.0.0.1:{PORT}",  # MLflow refuses other names
    }}]  # fmt: skip
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "mlflow", "normalize_path": True, "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST", "request_timeout": "300s",
            "request_headers_timeout": "10s", "stream_idle_timeout": "300s",
            "route_config": {"virtual_hosts": [{"name": NAME, "domains": ["*"], "routes": routes}]},
            "http_filters": [
                {"name": "health", "typed_config": {
                    "@type": f"{_HTTP}.health_check.v3.HealthCheck", "pass_through_mode": False,
                    "headers": [{"name": ":path", "string_match": {"exact": "/proxy/healthz"}}],
                }},
                {"name": "jwt", "typed_config": _tokens(tracking)},
                {"name": "roles", "typed_config": _roles(tracking)},
                {"name": "router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}},
            ],
        },
    }  # fmt: skip


def _tokens(tracking: Tracking) -> dict[str, Any]:
    remote = {"http_uri": {"uri": tracking.keys, "cluster": "issuer", "timeout": "5s"}, "cache_duration": "300s"}
    return {
        "@type": f"{_HTTP}.jwt_authn.v3.JwtAuthentication",
        "providers": {"issuer": {
            "issuer": tracking.issuer, "audiences": [tracking.audience], "remote_jwks": remote, "forward": False,
            "require_expiration": True, "payload_in_metadata": _PAYLOAD,
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    }  # fmt: skip


def _roles(tracking: Tracking) -> dict[str, Any]:
    """Return who may do what, by the groups in the token's payload; what no policy allows is refused."""
    reads = {"or_rules": {"rules": [
        *({"header": {"name": ":method", "string_match": {"exact": method}}} for method in ("GET", "HEAD")),
        *({"and_rules": {"rules": [
            {"header": {"name": ":method", "string_match": {"exact": "POST"}}}, {"url_path": {"path": {"exact": path}}},
        ]}} for path in SEARCHES),
    ]}}  # fmt: skip
    return {
        "@type": f"{_HTTP}.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {
            "readers": {"permissions": [reads], "principals": [_member(tracking, tracking.readers)]},
            "writers": {"permissions": [{"any": True}], "principals": [_member(tracking, tracking.writers)]},
        }},
    }  # fmt: skip


def _member(tracking: Tracking, group: str) -> dict[str, Any]:
    return {"sourced_metadata": {"metadata_matcher": {
        "filter": "envoy.filters.http.jwt_authn", "path": [{"key": _PAYLOAD}, {"key": tracking.groups}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": group}}}},
    }}}  # fmt: skip


def _cluster(name: str, host: str, port: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - Envoy's fields
    return {
        "name": name, "type": "STRICT_DNS", "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": _socket(host, port)}}]},
        ]},
        **more,
    }  # fmt: skip


def _issuer(tracking: Tracking) -> dict[str, Any]:
    keys = endpoint("tracking", tracking.keys)
    if not tracking.keys.startswith("https://"):
        return _cluster("issuer", keys.host, keys.port)
    context = {
        "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": keys.host,
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": keys.host}}],
        }},
    }  # fmt: skip
    return _cluster("issuer", keys.host, keys.port, transport_socket={"name": "tls", "typed_config": context})


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _place(subject: Subject, place: Place, tracking: Tracking) -> list[dict[str, Any]]:
    head = metadata(subject, place, NAME, NAME)
    labels = selector(subject, NAME)
    port = endpoint("tracking", place.stores["tracking"]).port
    service = {"name": "http", "port": port, "targetPort": "proxy", "protocol": "TCP"}
    config = json.dumps(envoy(tracking), indent=2) + "\n"
    return [
        kind("v1", "ServiceAccount", head | {"name": account(subject, NAME)}, automountServiceAccountToken=False),
        kind("v1", "ConfigMap", head | {"name": f"{NAME}-proxy"}, data={"envoy.json": config}),
        kind("v1", "PersistentVolumeClaim", head | {"annotations": KEPT}, spec={
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
        }),
        kind("v1", "Service", head, spec={"type": "ClusterIP", "selector": labels, "ports": [service]}),
        kind("apps/v1", "Deployment", head, spec={
            "replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": head["labels"]}, "spec": _pod(subject, tracking)},
        }),
    ]  # fmt: skip


def _pod(subject: Subject, tracking: Tracking) -> dict[str, Any]:
    return {
        "serviceAccountName": account(subject, NAME), "automountServiceAccountToken": False,
        "enableServiceLinks": False, "securityContext": pod_security(),
        "containers": [_server(tracking), _proxy(tracking)],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            {"name": "proxy", "configMap": {"name": f"{NAME}-proxy"}},
        ],
    }  # fmt: skip


def _server(tracking: Tracking) -> dict[str, Any]:
    alive = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/health', timeout=3)"
    probe = {"exec": {"command": ["python", "-c", alive]}, "periodSeconds": 15, "timeoutSeconds": 5}
    return {
        "name": NAME, "image": tracking.image, "command": ["mlflow"],
        "args": [
            "server", "--host=127.0.0.1", f"--port={PORT}", "--workers=1",
            "--backend-store-uri=sqlite:////mlflow/mlflow.db", "--artifacts-destination=/mlflow/artifacts",
        ],
        "env": [{"name": "HOME", "value": _TMP}, {"name": "MLFLOW_DISABLE_TELEMETRY", "value": "true"}],
        "startupProbe": {**probe, "periodSeconds": 5, "failureThreshold": 36},
        "readinessProbe": probe, "livenessProbe": {**probe, "failureThreshold": 4},
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": "data", "mountPath": "/mlflow"}, {"name": "tmp", "mountPath": _TMP}],
    }  # fmt: skip


def _proxy(tracking: Tracking) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/proxy/healthz", "port": "proxy"}, "periodSeconds": 5}
    return {
        "name": "proxy", "image": tracking.proxy, "command": ["envoy"],
        "args": ["--config-path", "/etc/proxy/envoy.json", "--concurrency", "1", "--log-level", "warning"],
        "ports": [{"name": "proxy", "containerPort": PROXY_PORT, "protocol": "TCP"}],
        "readinessProbe": probe, "livenessProbe": {**probe, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": "proxy", "mountPath": "/etc/proxy", "readOnly": True}],
    }  # fmt: skip
