"""Where a server reads what it follows: a repository and its state folder, or files that somebody mounts into a pod.

In a pod there is no git and no state from before: the release file and the public keys are mounted ConfigMaps, the API
keys a mounted Secret, and models come from an object store by URL. What is verified stays the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mainspring.deliver.ports import ModelStore
from mainspring.kernel.errors import NotFound
from mainspring.project.serving_file import ServingFile, read_serving_file
from mainspring.security.tokens import Token

if TYPE_CHECKING:  # a server starts without it
    from mainspring.flows.entering import Committed

_MAX_SERVING = 1 << 20


class Trust(Protocol):
    """Knows who may vouch for a model."""

    def trusted(self, environment: str) -> Mapping[str, bytes]:
        """Return key id -> public PEM."""


class TokenSource(Protocol):
    """Where API keys are read."""

    def read(self) -> tuple[Token, ...] | None:
        """Return the tokens, or None where none was ever made; the same object while nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """What stands elsewhere than in the project's folder; None or "" for what does not.

    release: the release file. models: URL of the object store with signed models. trust: folder of public keys (*.pem).
    tokens: the file of API keys. serving: `serving.yaml`, the rules of the log. remote: the git remote that release
    commits go to, whatever the project file says. keys: folder of the signing key. online: address of the Redis with
    online features, or a secret reference to it.
    """

    release: Path | None = None
    models: str = ""
    trust: Path | None = None
    tokens: Path | None = None
    serving: Path | None = None
    remote: str = ""
    keys: Path | None = None
    online: str = ""

    @property
    def anything(self) -> bool:
        """Tell whether anything stands elsewhere."""
        return self != NOTHING


NOTHING = Mounted()


def release_files(mounted: Mounted, root: Path) -> "Committed":
    """Return the release file as mounted, else as committed."""
    if mounted.release is None:
        from mainspring.adapters.git.releases import ReleaseFiles as GitReleases

        return GitReleases(root)
    from mainspring.adapters.files.mounted import ReleaseFiles as MountedReleases
    from mainspring.adapters.git.texts import parse

    return MountedReleases(mounted.release, parse)


def models_at(url: str, folder: Path) -> ModelStore:
    """Return the signed models at a URL, or those in a folder where the URL is ""."""
    if not url:
        from mainspring.adapters.files.models import ModelStore as FileModels

        return FileModels(folder)
    from mainspring.adapters.objects.bucket import Bucket
    from mainspring.adapters.objects.models import ModelStore as ObjectModels

    return ObjectModels(Bucket(url))


def trust_of(mounted: Mounted, state: Path, root: Path) -> Trust:
    """Return whom the environment trusts: the mounted keys alone where there are such."""
    if mounted.trust is None:
        from mainspring.adapters.files.keys import Keys

        return Keys(state, root)
    from mainspring.adapters.files.mounted import MountedKeys

    return MountedKeys(mounted.trust)


def token_source(mounted: Mounted, state: Path) -> TokenSource:
    """Return the API keys of a server."""
    if mounted.tokens is None:
        from mainspring.adapters.files.tokens import TokenFile

        return TokenFile(state)
    from mainspring.adapters.files.mounted import MountedTokens

    return MountedTokens(mounted.tokens)


def serving_rules(mounted: Mounted, root: Path, environment: str) -> ServingFile:
    """Return the rules of the log: as mounted; as committed where the release is committed too; else the usual ones."""
    if mounted.serving is not None:
        try:
            with mounted.serving.open("rb") as stream:
                return read_serving_file(stream.read(_MAX_SERVING), str(mounted.serving))
        except OSError as error:
            raise NotFound(
                f"{mounted.serving} cannot be read: {error.strerror}", fix="mount it, or leave --serving-file out"
            ) from error
    if mounted.release is not None:
        return ServingFile()
    from mainspring.app.prediction_log import serving_file

    return serving_file(root, environment)
