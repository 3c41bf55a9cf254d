"""`security/network-policies.yaml`: nothing may talk, then each flow that is used, by name.

A policy cannot name a host outside the cluster. `environments.<env>.network` lists where stores and the API server are;
where it does not, public stores may be reached at any public address on 443 only, what hides behind a secret reference
in private networks on its own port only, and the policy's annotation says so. Never both, never the cloud's metadata
address. Kubernetes documentation, "Network Policies"; ports are those of pods, after a Service's translation.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mainspring.deliver.render.content import Files, Objects
from mainspring.deliver.render.endpoints import Endpoint, endpoint
from mainspring.deliver.render.images import METRICS_PORT, PORT
from mainspring.deliver.render.kubernetes import DATABASE, kind, metadata, selector
from mainspring.deliver.render.subject import Place, Subject

PATH = "security/network-policies.yaml"
GRPC_PORT, PROXY_PORT, DNS_PORT, HTTPS, SSH, API_PORT, PUSH_PORT = 8081, 8080, 53, 443, 22, 6443, 9091
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_NOT_PUBLIC = [*PRIVATE, "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"]
_WHY = "mainspring.dev/why"
_PROXIES = "envoy-gateway-system"  # Envoy Gateway's proxies do not run in the namespace of their Gateway
_GATEWAYS = {
    "deployment": ("ingress-nginx",), "rollouts": ("ingress-nginx",),
    "kserve": ("kserve", _PROXIES, "istio-system", "knative-serving"), "seldon": ("istio-system", "seldon-system"),
}  # fmt: skip
_SEEN = {  # which stores a job opens; the server opens no ledger
    "server": ("models", "online"), "steps": ("ledger", "models", "tables", "tracking"),
    "watch": ("ledger", "models", "tables", "online", "tracking"),
}  # fmt: skip
_TESTED = ("deployment", "rollouts")
_JOBS = {"": (), "cronjob": ("watch",), "cronworkflow": ("steps", "watch")}
Rule = dict[str, Any]


def files(subject: Subject) -> Files:
    """Return the policies of every environment."""
    objects = [document for place in subject.places for document in _place(subject, place)]
    return {PATH: Objects(objects)} if objects else {}


def _place(subject: Subject, place: Place) -> Iterator[Rule]:
    yield _policy(subject, place, "default-deny", {}, {"ingress": [], "egress": []})
    yield _policy(subject, place, "dns", {}, {"egress": [_dns()]})
    yield _policy(subject, place, "server", selector(subject, "server"), {
        "ingress": [*_asked(subject, place), _flow("from", [_namespace("monitoring", "prometheus")], METRICS_PORT)],
        "egress": [*_stores(place, "server"), *_vault(subject), *_identity(place)],
    })  # fmt: skip
    if place.platform in _TESTED:  # the pod of `helm test`
        server = {"podSelector": {"matchLabels": selector(subject, "server")}}
        yield _policy(subject, place, "test", selector(subject, "test"), {
            "ingress": [], "egress": [_flow("to", [server], PORT)],
        })  # fmt: skip
    for job in _JOBS[place.scheduler]:
        yield _policy(subject, place, job, selector(subject, job), {
            "ingress": [], "egress": [*_stores(place, job), *_work(subject, place, job), *_identity(place)],
        })  # fmt: skip
    if subject.tracking and tracked_here(place):
        keys = endpoint("tracking", subject.tracking.keys)
        yield _policy(subject, place, "mlflow", selector(subject, "mlflow"), {
            "ingress": [_flow("from", [
                *({"podSelector": {"matchLabels": selector(subject, job)}} for job in ("steps", "watch")),
                *(_namespace(name) for name in _callers(place)),
            ], PROXY_PORT)],
            "egress": [_reach(place, keys)],
        })  # fmt: skip


def tracked_here(place: Place) -> bool:
    """Tell whether the environment's own namespace holds its MLflow: the store is `http://mlflow:...`."""
    return endpoint("tracking", place.stores.get("tracking", "")).host == "mlflow"


def _policy(subject: Subject, place: Place, name: str, pods: dict[str, str], body: Rule) -> Rule:
    head = metadata(subject, place, f"{subject.name}-{name}", "network")
    why = sorted({rule.pop(_WHY) for rules in body.values() for rule in rules if _WHY in rule})
    if why:
        head["annotations"] = {_WHY: "; ".join(why)}
    return kind("networking.k8s.io/v1", "NetworkPolicy", head, spec={
        "podSelector": {"matchLabels": pods} if pods else {},
        "policyTypes": [direction.capitalize() for direction in body],
        **{direction: rules for direction, rules in body.items() if rules},
    })  # fmt: skip


def _callers(place: Place) -> Sequence[str]:
    route = place.options.get("gateway")
    return place.network.callers or ((str(route["namespace"]), _PROXIES) if route else _GATEWAYS[place.platform])


def _identity(place: Place) -> Iterator[Rule]:
    """Yield the way to GKE's server of identities, where pods have one (GKE, "Workload Identity": network policies).

    It is the node's, which hands out the pod's own identity and hides the machine's. Other clouds project a token.
    """
    if any(key.startswith("iam.gke.io/") for key in place.identity):
        yield _flow("to", _blocks(("169.254.169.252/32",)), 988)
        yield _flow("to", _blocks(("169.254.169.254/32",)), 80)


def _asked(subject: Subject, place: Place) -> Iterator[Rule]:
    """Yield who may ask for predictions: the gateway's namespaces, under Knative by way of its sidecar."""
    ports = (PORT, GRPC_PORT, *((8012, 8112) if place.serverless else ()))
    yield _flow("from", [_namespace(name) for name in _callers(place)], *ports)
    inside = [*(["watch"] if place.scheduler else []), *(["test"] if place.platform in _TESTED else [])]
    if inside:
        yield _flow("from", [{"podSelector": {"matchLabels": selector(subject, job)}} for job in inside], PORT)


def _work(subject: Subject, place: Place, job: str) -> Iterator[Rule]:
    """Yield what steps and `watch` need besides stores: the API server for Argo's executor, git, webhooks."""
    if job == "steps" or place.scheduler == "cronworkflow":
        yield _told(
            _flow("to", _blocks(place.network.api or PRIVATE), HTTPS, API_PORT), place.network.api,
            "the API server's address is not known: list it in network.api",
        )  # fmt: skip
    if job == "watch":
        yield _flow("to", [_namespace("monitoring", "prometheus-pushgateway")], PUSH_PORT)
    if subject.database and place.stores.get("ledger"):  # some networks do not take a pod's address for one of theirs
        yield _flow("to", [_namespace(DATABASE)], 5432)
    if subject.repository or (job == "watch" and subject.webhooks):
        ports = (HTTPS, SSH) if "git@" in subject.repository else (HTTPS,)
        yield _told(
            _flow("to", _outside(place), *ports), place.network.outside, _ANYWHERE.format(what="git and webhooks")
        )


_ANYWHERE = "{what} have no fixed address: any public one, on these ports only; list theirs in network.outside"


def _stores(place: Place, job: str) -> Iterator[Rule]:
    seen: set[Endpoint] = set()
    for name in _SEEN[job]:
        address = place.stores.get(name, "")
        found = endpoint(name, address) if address else None
        if found and found.port and found not in seen:
            seen.add(found)
            yield _reach(place, found)


def _reach(place: Place, store: Endpoint) -> Rule:
    """Return the rule that opens one store."""
    if store.namespace:
        return _flow("to", [_namespace(store.namespace)], store.port)
    if store.address:
        return _flow("to", _blocks((store.address,)), store.port)
    if store.near:
        return _flow("to", [{"podSelector": {}}], store.port)
    if store.hidden:
        why = f"the address on port {store.port} is a secret: private networks; list its own in network.outside"
        return _told(_flow("to", _blocks(place.network.outside or PRIVATE), store.port), place.network.outside, why)
    return _told(_flow("to", _outside(place), store.port), place.network.outside, _ANYWHERE.format(what="stores"))


def _vault(subject: Subject) -> Iterator[Rule]:
    """Yield the way to Vault for pods whose sidecar fetches secrets; operators have their own namespaces."""
    if subject.vault and subject.vault.means == "agent":
        vault = endpoint("tracking", subject.vault.address)
        yield _flow("to", [_namespace(vault.namespace or "vault")], vault.port)


def _dns() -> Rule:
    peer = {**_namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    ports = [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]
    return {"to": [peer], "ports": ports}


def _flow(side: str, peers: Sequence[Rule], *ports: int) -> Rule:
    return {side: list(peers), "ports": [{"protocol": "TCP", "port": port} for port in ports]}


def _told(rule: Rule, known: Sequence[str], why: str) -> Rule:
    """Return the rule, with the reason why it is wide unless the networks are known."""
    return rule if known else {**rule, _WHY: why}


def _namespace(name: str, pods: str = "") -> Rule:
    found: Rule = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    return {**found, "podSelector": {"matchLabels": {"app.kubernetes.io/name": pods}}} if pods else found


def _blocks(networks: Sequence[str]) -> list[Rule]:
    return [{"ipBlock": {"cidr": network}} for network in networks]


def _outside(place: Place) -> list[Rule]:
    if place.network.outside:
        return _blocks(place.network.outside)
    return [{"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_NOT_PUBLIC)}}]
