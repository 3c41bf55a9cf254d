"""What somebody must set at the provider before its pipelines can run: secrets, variables, environments with approvals.

Every name that a rendered pipeline reads stands here, and nothing else (a test compares the two).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mainspring.deliver.render import pipeline
from mainspring.deliver.render.subject import Place, Subject

_SECRET, _IN_ENV = "secret://", "secret://env/"
_CLOUDS: Mapping[str, tuple[str, ...]] = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY",),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
}
OPEN = ("AWS_REGION", "AZURE_STORAGE_ACCOUNT_NAME")
_MADE = {
    "AWS_REGION": "the region of the buckets, such as eu-central-1",
    "AWS": "of an IAM user that may read and write the buckets of this environment and nothing else",
    "GOOGLE": "the key (JSON) of a service account with object admin on the buckets of this environment alone",
    "AZURE_STORAGE_ACCOUNT_NAME": "the storage account of this environment",
    "AZURE": "a key of that storage account; it reaches the whole account, so give each environment its own",
}
_USED_STORES = ("ledger", "models", "tables")
_IMAGES = ("release/images",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing to set. kind: `secret`, `variable`, `environment` or `schedule`.

    environments: where it is kept; () for the whole project. used: workflow and job of each use. make: how to
    come by a value. required: whether pipelines fail without it.
    """

    name: str
    kind: str
    environments: tuple[str, ...] = ()
    used: tuple[str, ...]
    make: str
    required: bool = True


def needs(subject: Subject) -> tuple[Need, ...]:
    """Return what must be set for a project's pipelines: environments, what jobs share, what each environment has."""
    if not subject.ci or not subject.places:
        return ()
    found = (*_environments(subject), *_scanners(subject), *_logins(subject), *_pushing(subject), *_of_places(subject))
    if subject.ci == "github":
        return found
    jobs = [replace(need, used=tuple(use.rpartition("/")[2] for use in need.used)) for need in found]
    return (*jobs, *_schedules(subject))


def store_names(place: Place) -> list[str]:
    """Return the variables by which an environment's stores are reached: addresses that are secrets, credentials."""
    addresses = [variable(kind, place.stores.get(kind, "")) for kind in _USED_STORES]
    schemes = {place.stores.get(kind, "").partition("://")[0] for kind in ("models", "tables")}
    keys = [name for scheme, names in _CLOUDS.items() if scheme in schemes for name in names]
    return list(dict.fromkeys([*filter(None, addresses), *keys]))


def ledger_name(place: Place) -> str:
    """Return the variable among `store_names` by which the ledger is opened, or ""."""
    return variable("ledger", place.stores.get("ledger", ""))


def online_names(place: Place) -> list[str]:
    """Return the variables by which an environment's online store is reached: its address if it is a secret, who asks.

    Hosted pipelines get none of them: a Redis inside a cluster is out of their reach.
    """
    written = place.stores.get("online", "")
    if not written:
        return []
    return [*filter(None, [variable("online", written)]), "ONLINE_USERNAME", "ONLINE_PASSWORD"]


def variable(kind: str, address: str) -> str:
    """Return the variable that holds a store's address, where that is a secret; else ""."""
    if address.startswith(_IN_ENV):
        return address.removeprefix(_IN_ENV)
    return f"{kind.upper()}_URL" if address.startswith(_SECRET) else ""


def _environments(subject: Subject) -> Iterator[Need]:
    for place in subject.places:
        used = (_promotion(subject, place),)
        if not place.approvals:
            yield Need(name=place.name, kind="environment", used=used, make="without reviewers; release branch only")
            continue
        people = "1 person" if place.approvals == 1 else f"{place.approvals} people"
        yield Need(
            name=place.name, kind="environment", used=used,
            make=f"required reviewers: {people}, not the one who started it, besides the signatures of mainspring "
            "approve; release branch only",
        )  # fmt: skip
        if beside := _unattended_jobs(subject, place):
            yield Need(
                name=pipeline.unattended(place), kind="environment", used=beside,
                make="without reviewers, for what nobody waits for; release branch only",
            )  # fmt: skip


def _schedules(subject: Subject) -> Iterator[Need]:
    watched = pipeline.watched(subject)
    for cron in sorted({place.schedule for place in watched}):
        used = tuple(f"watch-{place.name}" for place in watched if place.schedule == cron)
        make = f"a pipeline schedule on the release branch: {cron}, in UTC, with the variable WATCH set to {cron!r}"
        yield Need(name="watch", kind="schedule", used=used, make=make)


def _scanners(subject: Subject) -> Iterator[Need]:
    yield Need(
        name="KUBE_SCORE_IMAGE", kind="variable", used=_IMAGES,
        make="kube-score's image by digest, such as zegl/kube-score@sha256:<64 hex>: pull the version that you "
        "trust and read it with docker image inspect --format '{{index .RepoDigests 0}}'",
    )  # fmt: skip


def _logins(subject: Subject) -> Iterator[Need]:
    host = pipeline.host(subject.registry)
    asked = {
        "dockerhub": (
            ("DOCKERHUB_USERNAME", "the Docker Hub user or organisation that owns the repository"),
            ("DOCKERHUB_TOKEN", "a Docker Hub access token that may read and write, made for this pipeline alone"),
        ),
        "registry": (
            ("REGISTRY_USERNAME", f"the account that pushes to {host}"),
            ("REGISTRY_TOKEN", f"a token of {host} that may push to {subject.registry} and nothing else"),
        ),
    }  # fmt: skip
    for name, make in asked.get(pipeline.login(subject), ()):
        yield Need(name=name, kind="secret", used=_IMAGES, make=make)


def _pushing(subject: Subject) -> Iterator[Need]:
    used = (
        *(_promotion(subject, place) for place in subject.places),
        *(f"watch/watch-{place.name}" for place in pipeline.watched(subject)),
    )
    if subject.ci == "gitlab":
        yield Need(
            name="RELEASE_TOKEN", kind="secret", used=used,
            make="a project access token with the scope write_repository and a role that may push to the release "
            "branch; protected and masked. Never a personal token",
        )  # fmt: skip
        return
    yield Need(
        name="RELEASE_APP_CLIENT_ID", kind="variable", used=used, required=False,
        make="client id of a GitHub App with the one permission Contents: write, installed on this repository alone. "
        "Only where the release branch is protected; else the workflow's own token pushes",
    )  # fmt: skip
    yield Need(
        name="RELEASE_APP_PRIVATE_KEY", kind="secret", used=used, required=False,
        make="a private key (PEM) of that App; let the App pass the branch's rules, and nobody else",
    )  # fmt: skip


def _of_places(subject: Subject) -> Iterator[Need]:
    yield Need(
        name="DATA_CREDENTIALS", kind="secret", used=("ci/test", "release/train"), required=False,
        make="what ci/data.sh reads the data with, may only read; leave it out where there is no such script",
    )  # fmt: skip
    named: dict[str, list[Place]] = {"MAINSPRING_SIGNING_KEY": list(subject.places)}
    for place in subject.places:
        for name in store_names(place):
            named.setdefault(name, []).append(place)
    for name, places in named.items():
        where = {_promotion(subject, place): place.name for place in places}
        for place in places:
            where |= {
                job: pipeline.unattended(place) for job in _unattended_jobs(subject, place)
            }  # fmt: skip
        yield Need(
            name=name, kind="variable" if name in OPEN else "secret", environments=tuple(sorted(set(where.values()))),
            used=tuple(where), make=_how(name),
        )  # fmt: skip


def _how(name: str) -> str:
    if name == "MAINSPRING_SIGNING_KEY":
        return (
            "mainspring keys create in a clone of its own; the text of .mainspring/keys/signing.pem. Let it count: "
            "mainspring keys trust ENVIRONMENT .mainspring/keys/signing.pub, and commit that"
        )
    made = _MADE.get(name) or _MADE.get(name.partition("_")[0])
    return made or "the address that the project file refers to, with its credentials"


def _promotion(subject: Subject, place: Place) -> str:
    return f"{'release' if place == subject.places[0] else 'promote'}/promote-{place.name}"


def _unattended_jobs(subject: Subject, place: Place) -> tuple[str, ...]:
    train = ("release/train",) if place == subject.places[0] else ()
    return (*train, *([f"watch/watch-{place.name}"] if place in pipeline.watched(subject) else []))
