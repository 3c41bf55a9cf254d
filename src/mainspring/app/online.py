"""Wiring of online features: a file in the state folder, or the Redis that an environment names.

`stores.online` is an address, or a secret reference to one. A user name and a password may stand in the variables
ONLINE_USERNAME and ONLINE_PASSWORD instead; never in a committed file or an argument.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainspring.app.stores import address
from mainspring.kernel.contract import Contract
from mainspring.serve.ports import Assemble
from mainspring.stats.columns import Columns

if TYPE_CHECKING:  # a server starts without them
    from mainspring.adapters.redis.client import Client, Patience
    from mainspring.adapters.redis.online import OnlineStore as RedisStore
    from mainspring.adapters.sqlite.online import OnlineStore as FileStore
    from mainspring.app.workspace import Workspace
    from mainspring.data.ports import OnlineStore

_ASSEMBLERS = 8


def online_file(state: Path) -> Path:
    """Return where a machine keeps its own online store."""
    return state / "online.db"


@contextmanager
def online_of(workspace: "Workspace", other: str = "") -> "Iterator[OnlineStore]":
    """Give the online store of a workspace's environment, to write to: its Redis or `other`, else the file here."""
    url = address("online", other or workspace.named_store("online"))
    if url:
        from mainspring.adapters.redis.client import Patience

        client = _client(url, Patience(connect_s=10.0, call_s=60.0))
        with closing(_in_redis(client, workspace.environment, workspace.settings.name)) as store:
            yield store
    else:
        with closing(_in_file(online_file(workspace.paths.state))) as file:
            yield file


def assembler(state: Path, url: str, environment: str) -> Assemble:
    """Return what fills features by key: from the Redis at `url`, or where that is "" from the file in `state`.

    The file is opened at the first such request where there is none yet: most servers are sent features, and start
    without it. An address that cannot be a Redis is refused at once; whether one is there, requests find out.
    """
    if url:
        client = _client(address("online", url))
        return _filling(lambda contract: _in_redis(client, environment, contract.model))
    path = online_file(state)
    made = {True: _of_file(path)} if path.exists() else {}

    def fill(contract: Contract, request: Columns, keys: Sequence[str], asked_at: NDArray[np.int64]) -> Columns:
        stored = True in made or path.exists()
        if stored not in made:
            made[stored] = _of_file(path)
        return made[stored](contract, request, keys, asked_at)

    return fill


def _of_file(path: Path) -> Assemble:
    store = _in_file(path) if path.exists() else None
    return _filling(lambda _: store)


def _filling(opened: "Callable[[Contract], OnlineStore | None]") -> Assemble:
    from mainspring.data.views import from_json
    from mainspring.flows.assemble import Assembler

    known: dict[int, tuple[Contract, Assembler]] = {}

    def fill(contract: Contract, request: Columns, keys: Sequence[str], asked_at: NDArray[np.int64]) -> Columns:
        found = known.get(id(contract))
        if found is None:
            if len(known) >= _ASSEMBLERS:
                known.clear()
            made = Assembler(from_json(contract.definitions), opened(contract))
            found = known[id(contract)] = (contract, made)
        return found[1](keys, asked_at.tolist(), request)

    return fill


def _in_file(path: Path) -> "FileStore":
    from mainspring.adapters.sqlite.online import OnlineStore as FileStore

    return FileStore(path)


def _in_redis(client: "Client", environment: str, model: str) -> "RedisStore":
    from mainspring.adapters.redis.online import OnlineStore as RedisStore

    return RedisStore(client, f"{environment}/{model}")


def _client(url: str, patience: "Patience | None" = None) -> "Client":
    from mainspring.adapters.redis.client import Client, place_of

    username, password = (os.environ.get(f"ONLINE_{name}", "") for name in ("USERNAME", "PASSWORD"))
    return Client(place_of(url, username=username, password=password), patience)
