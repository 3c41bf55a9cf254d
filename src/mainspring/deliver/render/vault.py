"""`security/vault*`: from Vault to the four Secrets that the project's pods read. No value is ever rendered.

`external-secrets` (Apache-2.0, the default), `vault-operator` (HashiCorp's, BUSL since 0.2: the form of 0.1 is written)
or `agent` (a sidecar writes the server's tokens; stores are then reached by workload identity). A
namespace's account logs in with its own token, for the audience `vault`, under a role that may read this environment's
paths and nothing else: `<mount>/<project>/<env>/{tokens,scrape,stores,git,signing,alerts}` and what the project file
names by `secret://vault/`. Vault: "Kubernetes auth", "JWT/OIDC auth", "KV v2".
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from mainspring.deliver.render.access import account
from mainspring.deliver.render.content import Content, Files, Objects, Text
from mainspring.deliver.render.endpoints import endpoint
from mainspring.deliver.render.kubernetes import kind, metadata, namespace_of
from mainspring.deliver.render.needs import variable
from mainspring.deliver.render.subject import Place, Subject, Vault

PREFIX, LEDGER = "secret://vault/", "LEDGER_URL"
AUDIENCE, _MINUTES = "vault", 10
_BUCKETS = ("s3://", "s3a://", "gs://", "az://", "abfs://", "abfss://")
Wanted = dict[str, dict[str, tuple[str, str]]]
"""Secret's last name -> key -> (path below the mount's own, field); the key "" takes every field of its path."""


def files(subject: Subject) -> Files:
    """Return the objects that fetch secrets, each environment's Vault policy and the commands that set Vault up."""
    vault = subject.vault
    if vault is None or not subject.places:
        return {}
    found: dict[str, Content] = {"security/vault-setup.sh": Text(_setup(subject, vault))}
    for place in subject.places:
        found[f"security/vault/{place.name}.hcl"] = Text(_policy(subject, place, vault))
    if vault.means != "agent":
        make = _external if vault.means == "external-secrets" else _operated
        found["security/vault.yaml"] = Objects([d for place in subject.places for d in make(subject, place, vault)])
    return found


def webhook_key(reference: str) -> str:
    """Return the key of a webhook in the Secret `<project>-alerts`: the variable's name, or the field's."""
    name = reference.removeprefix("secret://env/").rpartition("#")[2].rpartition("/")[2]
    return re.sub("[^A-Za-z0-9]", "_", name).upper()


def wanted(subject: Subject, place: Place, vault: Vault) -> Wanted:
    """Return what each Secret of an environment holds, and where Vault keeps it."""
    own = f"{vault.mount}/{subject.name}/{place.name}"
    found: Wanted = {"tokens": {"tokens.json": (f"{own}/tokens", "tokens.json")},
                     "scrape": {"token": (f"{own}/scrape", "token")}}  # fmt: skip
    stores = place.stores
    if any(address.startswith(_BUCKETS) for address in stores.values()):
        found.setdefault("stores", {})[""] = (f"{own}/stores", "")
    if stores.get("ledger", "").startswith("secret://"):
        found.setdefault("stores", {})[LEDGER] = _placed(stores["ledger"], f"{own}/stores", LEDGER)
    if online := stores.get("online", ""):  # a secret address, or a Redis whose password may be among the other fields
        key = variable("online", online)
        found.setdefault("stores", {})[key] = _placed(online, f"{own}/stores", key) if key else (f"{own}/stores", "")
    if place.scheduler and subject.repository:
        found["git"] = {key: (f"{own}/git", key) for key in ("username", "token")}
    if place.scheduler:
        found["signing"] = {key: (f"{own}/signing", key) for key in ("signing.pem", "signing.pub")}
    for webhook in subject.webhooks:
        key = webhook_key(webhook)
        found.setdefault("alerts", {})[key] = _placed(webhook, f"{own}/alerts", key)
    return found


def authority(subject: Subject, vault: Vault) -> str:
    """Return the Secret with the authority (`ca.crt`) of a Vault inside the cluster, which no public one knows."""
    inside = vault.address.startswith("https://") and endpoint("tracking", vault.address).namespace
    return f"{subject.name}-vault-ca" if inside else ""


def annotations(subject: Subject, place: Place) -> dict[str, str]:
    """Return the server's pod annotations under `agent`: two files where the chart would mount Secrets; else {}."""
    vault = subject.vault
    if vault is None or vault.means != "agent":
        return {}
    head = "vault.hashicorp.com"
    found = {
        f"{head}/agent-inject": "true", f"{head}/role": _role(subject, place),
        f"{head}/auth-path": f"auth/{vault.auth}",
        f"{head}/agent-service-account-token-volume-name": "vault-token", f"{head}/agent-run-as-same-user": "true",
    }  # fmt: skip
    if ca := authority(subject, vault):
        found |= {f"{head}/tls-secret": ca, f"{head}/ca-cert": "/vault/tls/ca.crt"}
    secrets = wanted(subject, place, vault)
    for name, key in (("tokens", "tokens.json"), ("scrape", "token")):
        path, field = secrets[name][key]
        data = _data(path)
        found[f"{head}/agent-inject-secret-{key}"] = data
        found[f"{head}/secret-volume-path-{key}"] = f"/var/run/mainspring/{name}"
        found[f"{head}/agent-inject-template-{key}"] = (
            f'{{{{- with secret "{data}" -}}}}{{{{ index .Data.data "{field}" }}}}{{{{- end -}}}}'
        )
    return found


def _placed(reference: str, otherwise: str, key: str) -> tuple[str, str]:
    """Return (path, field) of a reference into Vault; of any other, where the environment's own secrets are."""
    if not reference.startswith(PREFIX):
        return otherwise, key
    path, _, field = reference.removeprefix(PREFIX).partition("#")
    return path, field or "value"


def _data(path: str) -> str:
    """Return the path that reads a secret of a key-value store of version 2: the mount, `data`, the rest."""
    mount, _, rest = path.partition("/")
    return f"{mount}/data/{rest}"


def _role(subject: Subject, place: Place) -> str:
    return f"{subject.name}-{place.name}"


def _external(subject: Subject, place: Place, vault: Vault) -> Iterator[dict[str, Any]]:
    owner = {"name": account(subject, "secrets"), "audiences": [AUDIENCE]}
    role = _role(subject, place)
    login = {"kubernetes": {"mountPath": "kubernetes", "role": role, "serviceAccountRef": owner}}
    if vault.auth == "jwt":
        token = {"serviceAccountRef": {"name": owner["name"]}, "audiences": [AUDIENCE],
                 "expirationSeconds": _MINUTES * 60}  # fmt: skip
        login = {"jwt": {"path": "jwt", "role": role, "kubernetesServiceAccountToken": token}}
    ca = authority(subject, vault)
    mounts = sorted({path.partition("/")[0] for keys in wanted(subject, place, vault).values()
                     for path, _ in keys.values()})  # fmt: skip
    for mount in mounts:
        yield kind("external-secrets.io/v1", "SecretStore", metadata(subject, place, _store(subject, mount), "secrets"),
                   spec={"provider": {"vault": {
                       "server": vault.address, "path": mount, "version": "v2", "auth": login,
                       **({"caProvider": {"type": "Secret", "name": ca, "key": "ca.crt"}} if ca else {}),
                   }}})  # fmt: skip
    for name, keys in wanted(subject, place, vault).items():
        head = metadata(subject, place, f"{subject.name}-{name}", "secrets")
        spec: dict[str, Any] = {
            "refreshInterval": "1h", "secretStoreRef": {"kind": "SecretStore", "name": _store(subject, vault.mount)},
            "target": {"name": head["name"], "creationPolicy": "Owner", "deletionPolicy": "Retain"},
        }  # fmt: skip
        data = [_fetched(subject, vault, key, *source) for key, source in sorted(keys.items()) if key]
        spec |= {"data": data} if data else {}
        spec |= {"dataFrom": [{"extract": {"key": keys[""][0].partition("/")[2]}}]} if "" in keys else {}
        yield kind("external-secrets.io/v1", "ExternalSecret", head, spec=spec)


def _store(subject: Subject, mount: str) -> str:
    return f"{subject.name}-vault-{mount}".lower()


def _fetched(subject: Subject, vault: Vault, key: str, path: str, field: str) -> dict[str, Any]:
    mount, _, rest = path.partition("/")
    found = {"secretKey": key, "remoteRef": {"key": rest, "property": field}}
    if mount != vault.mount:
        found["sourceRef"] = {"storeRef": {"kind": "SecretStore", "name": _store(subject, mount)}}
    return found


def _operated(subject: Subject, place: Place, vault: Vault) -> Iterator[dict[str, Any]]:
    """Yield the operator's objects; it copies whole secrets, so every key stands in the environment's own paths."""
    api, name = "secrets.hashicorp.com/v1beta1", f"{subject.name}-vault"
    head = metadata(subject, place, name, "secrets")
    ca = {"caCertSecretRef": authority(subject, vault)} if authority(subject, vault) else {}
    yield kind(api, "VaultConnection", head, spec={"address": vault.address, "skipTLSVerify": False, **ca})
    login = {"role": _role(subject, place), "serviceAccount": account(subject, "secrets"), "audiences": [AUDIENCE]}
    yield kind(api, "VaultAuth", head, spec={
        "vaultConnectionRef": name, "method": vault.auth, "mount": vault.auth,
        vault.auth: {**login, "tokenExpirationSeconds": _MINUTES * 60},
    })  # fmt: skip
    for secret in wanted(subject, place, vault):
        yield kind(api, "VaultStaticSecret", metadata(subject, place, f"{subject.name}-{secret}", "secrets"), spec={
            "vaultAuthRef": name, "mount": vault.mount, "path": f"{subject.name}/{place.name}/{secret}",
            "type": "kv-v2", "refreshAfter": "1h", "destination": {"name": f"{subject.name}-{secret}", "create": True},
        })  # fmt: skip


def _policy(subject: Subject, place: Place, vault: Vault) -> str:
    own = f"{vault.mount}/{subject.name}/{place.name}"
    sources = {path for keys in wanted(subject, place, vault).values() for path, _ in keys.values()}
    paths = sorted({f"{own}/*"} | {path for path in sources if not path.startswith(f"{own}/")})
    return "".join(f'path "{_data(path)}" {{\n  capabilities = ["read"]\n}}\n' for path in paths)


def _setup(subject: Subject, vault: Vault) -> str:
    lines = [
        "#!/bin/sh",
        "# Run once by who administers Vault: a policy and a role an environment. It holds no secret and prints none.",
        "# Then put each value from a file or standard input: vault kv put -mount=... path key=@file", "set -eu",
    ]  # fmt: skip
    for place in subject.places:
        role, space = _role(subject, place), namespace_of(subject, place)
        name = account(subject, "" if vault.means == "agent" else "secrets")
        body = json.dumps(_bound(vault, space, name) | {"token_policies": [role], "token_ttl": f"{_MINUTES}m"})
        lines.append(f"vault policy write {role} security/vault/{place.name}.hcl")
        lines.append(f"vault write auth/{vault.auth}/role/{role} - <<'END'\n{body}\nEND")
    return "\n".join(lines) + "\n"


def _bound(vault: Vault, space: str, name: str) -> dict[str, Any]:
    """Return by what Vault knows an account of a namespace."""
    if vault.auth == "jwt":
        bound = {"bound_subject": f"system:serviceaccount:{space}:{name}", "bound_audiences": [AUDIENCE]}
        return {"role_type": "jwt", "user_claim": "sub", **bound}
    return {"bound_service_account_names": [name], "bound_service_account_namespaces": [space], "audience": AUDIENCE}
