"""What the step bodies need from outside, and what they give back."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from mainspring.data.ports import TrainingSets
from mainspring.develop.ports import Frames, Runs, Scorer, StepCache, Trainer
from mainspring.kernel.contract import Input
from mainspring.kernel.stores import Store

ScorerOf = Callable[[bytes, Sequence[Input], Sequence[str]], Scorer]  # model, inputs, types that it may contain
ModelFiles = Callable[[str], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPorts:
    """Ports of a process that runs steps.

    sets: snapshot digest -> training sets over its tables. champion: model digest -> verified files of the model.
    scratch: opens a new empty folder that is removed afterwards. timer: monotonic seconds.
    installed: name of a distribution -> its version here, "" if there is none.
    """

    store: Store
    cache: StepCache
    runs: Runs
    frames: Frames
    trainer: Trainer
    sets: Callable[[str], TrainingSets]
    scorer: ScorerOf
    champion: ModelFiles
    scratch: Callable[[], AbstractContextManager[Path]]
    timer: Callable[[], float]
    installed: Callable[[str], str] = lambda _: ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a body made: files by name (digests in the store), numbers worth showing, and a line of text."""

    outputs: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
