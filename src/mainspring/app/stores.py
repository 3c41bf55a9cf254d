"""Where an environment keeps its state: folders of this machine unless `environments.<env>.stores` names others.

`stores.tables` holds snapshots, what steps write, run records and the step cache: through it alone steps in different
pods exchange files by digest. `stores.models` holds signed models, `stores.ledger` is the database of the ledger.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.app.mounted import NOTHING, Mounted, models_at, trust_of
from mainspring.app.paths import Paths
from mainspring.app.secrets import SecretMissing, resolved
from mainspring.deliver.ports import ModelStore
from mainspring.develop.ports import Runs, StepCache
from mainspring.kernel.stores import Store

if TYPE_CHECKING:
    from mainspring.project.settings import Environment

STORE_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "SSL_CERT_")
"""What the names of an object store's settings begin with."""
_SECRET, _IN_ENV = "secret://", "secret://env/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Addresses of one environment's stores; "" stands for a folder of this machine. mounted: see `app.mounted`."""

    paths: Paths
    tables: str = ""
    models: str = ""
    mounted: Mounted = NOTHING

    def content(self) -> Store:
        """Return the store of blobs by digest."""
        from mainspring.adapters.files.store import Store as FileStore

        local = FileStore(self.paths.shared / "store")
        if not self.tables:
            return local
        from mainspring.adapters.objects.bucket import Bucket
        from mainspring.adapters.objects.store import Store as ObjectStore

        return ObjectStore(Bucket(self.tables), local)

    def signed(self) -> ModelStore:
        """Return the store of signed models."""
        return models_at(self.models, self.paths.state / "models")

    def trusted(self, environment: str) -> Mapping[str, bytes]:
        """Return key id -> public PEM of whoever may vouch for a model in an environment."""
        return trust_of(self.mounted, self.paths.state, self.paths.root).trusted(environment)

    def runs(self) -> Runs:
        """Return the records of runs."""
        if not self.tables:
            from mainspring.adapters.runs.files import file_runs

            return file_runs(self.paths.state / "runs")
        from mainspring.adapters.objects.bucket import Bucket
        from mainspring.adapters.runs.records import Runs as KeptRuns

        return KeptRuns(Bucket(self.tables), "runs/")

    def step_cache(self) -> StepCache:
        """Return the outcomes of steps by key."""
        if not self.tables:
            from mainspring.adapters.runs.files import file_step_cache

            return file_step_cache(self.paths.shared / "cache")
        from mainspring.adapters.objects.bucket import Bucket
        from mainspring.adapters.runs.records import StepCache as KeptCache

        return KeptCache(Bucket(self.tables), "cache/")


def stores_of(paths: Paths, environment: "Environment | None", mounted: Mounted = NOTHING) -> Stores:
    """Return an environment's stores; without one, this machine's folders."""
    named = environment.stores if environment else {}
    return Stores(
        paths=paths, tables=address("tables", named.get("tables", "")),
        models=address("models", named.get("models", "")), mounted=mounted,
    )  # fmt: skip


def address(kind: str, written: str) -> str:
    """Return the address of a store as written, or the secret that it refers to; `SecretMissing` if that is not here.

    A secret of a vault reaches a process as the environment variable `<KIND>_URL`, such as LEDGER_URL.
    """
    if not written.startswith(_SECRET):
        return written
    if written.startswith(_IN_ENV):
        return resolved(written)
    name = f"{kind.upper()}_URL"
    value = os.environ.get(name, "").strip()
    if not value:
        raise SecretMissing(f"the address of {kind} is a secret that is not here", fix=f"set {name} from {written}")
    return value
