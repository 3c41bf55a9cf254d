"""What somebody asks of a cluster, checked by the provider's own rules of naming before any command is made.

Every value begins with a letter or a digit and holds none that a shell, a flag parser or Windows reads specially.
Rules of names: GKE "clusters create" (40 characters), AKS "naming rules", EKS CreateCluster and CloudFormation stack
names, kind's DNS labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from mainspring.kernel.errors import MainspringError

GENERATE, NO_KEY = "generate", "none"
_MOST_NODES = 1_000
_MOST_LOCAL = 10
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"
_PLACE = r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?"
_PATH = r"(?:~/|/)?[A-Za-z0-9._][A-Za-z0-9._-]*(?:/[A-Za-z0-9._][A-Za-z0-9._-]*)*"


class InvalidCluster(MainspringError):
    """A cluster cannot be made of what was asked for."""

    code = "cluster.invalid"


@dataclass(frozen=True, slots=True)
class Provider:
    """What one provider takes. name, group: patterns of names. needs, knows: options that must and that may be given.

    example: a name that is right.
    """

    title: str
    name: str
    group: str
    needs: tuple[str, ...]
    knows: tuple[str, ...]


_SIZE = ("nodes", "machine", "kubernetes")
PROVIDERS: Mapping[str, Provider] = {
    "gke": Provider("GKE", r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?", "", ("place",), ("zone", "region", "project", *_SIZE)),
    "aks": Provider(
        "AKS", r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", r"[a-z][a-z0-9]{0,11}",
        ("resource_group", "region"), ("resource_group", "region", "project", "node_group", "ssh_key", *_SIZE),
    ),
    "eks": Provider(
        "EKS", r"[A-Za-z][A-Za-z0-9-]{0,99}", r"[A-Za-z][A-Za-z0-9-]{0,62}",
        ("region",), ("region", "project", "node_group", "ssh_key", *_SIZE),
    ),
    "kind": Provider("kind", r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", "", (), ("nodes", "node_image")),
}  # fmt: skip
_FORMS: Mapping[str, tuple[str, str]] = {
    "zone": (_PLACE, "a zone, such as us-central1-c"),
    "region": (_PLACE, "a region, such as us-west-2 or eastus"),
    "project": (_WORD, "a project, subscription or profile by name or id"),
    "resource_group": (r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,88}[A-Za-z0-9_-])?", "a resource group, such as models"),
    "machine": (_WORD, "a machine type, such as e2-standard-4, Standard_D4s_v5 or m6i.xlarge"),
    "kubernetes": (r"1\.[1-9][0-9](?:\.[0-9]{1,3}(?:-[a-z0-9.]{1,20})?)?", "a version, such as 1.33"),
    "ssh_key": (_PATH, f"{GENERATE}, {NO_KEY}, or the path of a public key with forward slashes"),
    "node_image": (r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*@sha256:[0-9a-f]{64}", "kindest/node by digest"),
}
_FLAGS = {"place": "--zone or --region", "project": "--project"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A cluster. "" leaves a choice to the provider.

    project: the cloud's own unit of billing and access: a GCP project, an Azure subscription, an AWS profile.
    nodes: of the first group. ssh_key: `generate`, `none`, or the path of a public key. node_image: kind's, by digest.
    """

    provider: str
    name: str
    zone: str = ""
    region: str = ""
    project: str = ""
    resource_group: str = ""
    node_group: str = ""
    nodes: int = 0
    machine: str = ""
    kubernetes: str = ""
    ssh_key: str = ""
    node_image: str = ""

    def __post_init__(self) -> None:
        rules = PROVIDERS.get(self.provider)
        if rules is None:
            raise InvalidCluster(f"no provider is called {self.provider[:40]!r}", fix=f"one of: {', '.join(PROVIDERS)}")
        _check("name", self.name, rules.name, f"a name that {rules.title} takes, such as models-1")
        given = {item.name for item in fields(self) if getattr(self, item.name)} - {"provider", "name"}
        for option in sorted(given - set(rules.knows)):
            fix = f"leave {_flag(option)} out; it takes {', '.join(map(_flag, rules.knows))}"
            raise InvalidCluster(f"{rules.title} knows no {_flag(option)}", fix=fix)
        for option in rules.needs:
            if not (given & {"zone", "region"} if option == "place" else option in given):
                raise InvalidCluster(f"{rules.title} needs {_flag(option)}", fix="give it")
        for option, (pattern, what) in _FORMS.items():
            if option in given:
                _check(option, getattr(self, option), pattern, what)
        if self.node_group:
            _check(
                "node_group", self.node_group, rules.group, f"a node group that {rules.title} takes, such as standard"
            )
        self._check_rest(rules)

    def _check_rest(self, rules: Provider) -> None:
        most = _MOST_LOCAL if self.provider == "kind" else _MOST_NODES
        if not 0 <= self.nodes <= most:
            raise InvalidCluster(f"{self.nodes} is no number of nodes", fix=f"give --nodes from 1 to {most}")
        if self.zone and self.region:
            raise InvalidCluster("--zone and --region name two places", fix="give one: a zonal or a regional cluster")
        if self.ssh_key == GENERATE and self.provider == "eks":
            raise InvalidCluster("eksctl generates no SSH key", fix="give the path of a public key, or leave it out")


def _check(option: str, value: str, pattern: str, what: str) -> None:
    if not re.fullmatch(pattern, value):
        raise InvalidCluster(f"{_flag(option)} {value[:60]!r} is not {what}", fix=f"give {what}")


def _flag(option: str) -> str:
    return _FLAGS.get(option, f"--{option.replace('_', '-')}")
