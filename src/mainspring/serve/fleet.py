"""The models that one server answers for, each with its own plane, log and reconciler."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mainspring.serve.errors import NotReady, UnknownModel, shown
from mainspring.serve.explaining import Explaining
from mainspring.serve.log import PredictionLog
from mainspring.serve.plane import Plane
from mainspring.serve.ports import Labels
from mainspring.serve.reconciler import Reconciler

_READY = "READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of a fleet. label: its project's folder, for messages before its first release names the model.

    labels: where posted labels go, or None where none are taken. explaining: says why, or None where nothing does.
    """

    label: str
    plane: Plane
    log: PredictionLog
    reconciler: Reconciler
    labels: Labels | None = None
    explaining: Explaining | None = None

    @property
    def model(self) -> str:
        """Return the model's name in URLs, as its release says; "" before the first one is loaded."""
        return self.plane.model


class Fleet:
    """Finds the plane that answers for a model. The members are fixed; what each serves follows its release."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self._found: dict[str, Plane] = {}

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Return the members' planes."""
        return tuple(member.plane for member in self.members)

    @property
    def ready(self) -> bool:
        """Tell whether every model has a verified version that answers, but for those that were unloaded by request."""
        wanted = [member for member in self.members if not member.reconciler.unloaded]
        return bool(wanted) and all(member.plane.serving is not None for member in wanted)

    def plane(self, model: str) -> Plane:
        """Return the plane of a model; raise `UnknownModel`, or `NotReady` where nothing is loaded yet."""
        found = self._found.get(model)
        if found is not None and found.serving is not None and found.serving.routing.model == model:
            return found
        return self._looked_up(model)

    def only(self) -> Plane:
        """Return the one plane, for protocols that name no model; refuse where there are several."""
        if len(self.members) == 1:
            return self.members[0].plane
        if not self.members:
            raise NotReady("no model is served here", fix="promote a version, then try again")
        raise UnknownModel(
            f"{len(self.members)} models are served here and the path names none",
            fix="use a path that names the model, such as /v2/models/NAME/infer",
        )

    def member(self, model: str = "") -> Member:
        """Return the member of a model; without a name the only one. Refuses as `plane` and `only` do."""
        plane = self.plane(model) if model else self.only()
        return next(member for member in self.members if member.plane is plane)

    def named(self, name: str) -> Member:
        """Return the member of a model's name or of a label; raise `UnknownModel`."""
        for member in self.members:
            if name in (member.model, member.label) and name:
                return member
        raise _unknown()

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Return name, version, state and reason of every version here (V2 model repository extension, index).

        ready: only of those that answer.
        """
        found = [entry for member in self.members for entry in _entries(member)]
        return [entry for entry in found if not ready or entry["state"] == _READY]

    def load(self, name: str) -> None:
        """Follow a model's release (again) and look now; the V2 repository's `load`. Blocks while it loads.

        Raises `NotReady` where a version of the release may not serve.
        """
        found = self.named(name).reconciler.load()
        if found.failures:
            raise NotReady("; ".join(found.failures.values())[:300], fix="see GET /admin/state")

    def unload(self, name: str) -> None:
        """Stop serving a model until it is loaded again; the V2 repository's `unload`."""
        self.named(name).reconciler.unload()

    def _looked_up(self, model: str) -> Plane:
        self._found = {}
        for member in self.members:
            if self._found.setdefault(member.model, member.plane) is not member.plane and member.model == model:
                raise UnknownModel(
                    f"two projects of this server have a model called {shown(model)}", fix="rename one of them"
                )
        self._found.pop("", None)
        if model in self._found:
            return self._found[model]
        if not self._found:
            raise NotReady("no model is loaded", fix="promote a version, then try again")
        raise _unknown()


def _unknown() -> UnknownModel:
    return UnknownModel("no such model or version is served here", fix="see GET /v2 for what is")


def _entries(member: Member) -> Iterator[dict[str, str]]:
    serving, name = member.plane.serving, member.model or member.label
    if serving is None:
        why = "unloaded by request" if member.reconciler.unloaded else "no version is loaded"
        yield {"name": name, "version": "", "state": "UNAVAILABLE", "reason": why}
    else:
        for version in serving.versions():
            yield {"name": name, "version": str(version.number), "state": _READY, "reason": ""}
    for digest, why in member.reconciler.last.failures.items():
        yield {"name": name, "version": digest, "state": "UNAVAILABLE", "reason": why}
