"""Sections on what surrounds the server in a cluster: networks, secrets, the tracking server."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mainspring.project.fields import Image, Section, mistake, shown
from mainspring.project.step_models import Memory


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        fix = "write addresses with their prefix, for example 10.20.0.0/16"
        raise mistake("project.value", f"{shown(text)} is not a network", fix) from None
    if not network.prefixlen:
        raise mistake("project.value", f"{shown(text)} is every address", "name the networks that are needed")
    return str(network)


def _served_by(value: object) -> object:
    if value == "kubeflow":
        raise mistake("project.unsupported", "Kubeflow's own serving is KServe today", "write platform: kserve")
    return value


Platform = Annotated[Literal["local", "deployment", "kserve", "rollouts", "seldon"], BeforeValidator(_served_by)]
Network = Annotated[str, Field(max_length=50), AfterValidator(_network)]
Url = Annotated[str, Field(max_length=300, pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9_.~/-]*)?$")]
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:/-]+$")]
Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]


class NetworkSection(Section):
    """Who may call the server, and where it may go. Nothing else passes."""

    callers: tuple[Namespace, ...] = Field(
        default=(), description="Namespaces that may call the server; left out: those of the platform's gateway."
    )
    outside: tuple[Network, ...] = Field(
        default=(), description="Networks outside the cluster where stores and git are; left out: any public address."
    )
    api: tuple[Network, ...] = Field(
        default=(), description="Addresses of the cluster's API server; left out: private networks."
    )


class VaultSection(Section):
    """The Vault that the cluster's secrets come from."""

    address: Url = Field(default="https://vault.vault.svc:8200", description="Address of the Vault server.")
    mount: Namespace = Field(default="ml", description="Mount of its key-value store (version 2).")
    auth: Literal["kubernetes", "jwt"] = Field(default="kubernetes", description="How service accounts log in.")


class DatabaseSection(Section):
    """A PostgreSQL of our own in the cluster, with pgvector, by CloudNativePG; for stores.ledger."""

    instances: int = Field(default=2, ge=1, le=9, description="Servers: one that is written to, the others follow.")
    storage: Memory = Field(default="20Gi", description="Disk of each server.")


class TrackingSection(Section):
    """An MLflow of our own behind a proxy that checks tokens and roles; for stores.tracking: http://mlflow:5000."""

    image: Image = Field(description="MLflow's image, by digest.")
    proxy: Image = Field(description="Envoy's image, by digest.")
    issuer: Url = Field(description="Whose tokens are taken: `iss` of the JSON Web Tokens.")
    keys: Url = Field(description="Where the issuer's public keys are (JWKS).")
    audience: Word = Field(default="mlflow", description="For whom the tokens must be: `aud`.")
    groups: Word = Field(default="groups", description="The claim that lists a caller's groups.")
    readers: Word = Field(default="ml-readers", description="The group that may read.")
    writers: Word = Field(default="ml-writers", description="The group that may write.")


Secrets = Literal["external-secrets", "vault-operator", "agent"]
