from typing import Any

from numpy.typing import NDArray

def plan(
    features: int,
    base: float,
    threshold: NDArray[Any],
    feature: NDArray[Any],
    left: NDArray[Any],
    flags: NDArray[Any],
    value: NDArray[Any],
    roots: NDArray[Any],
    steps: NDArray[Any],
    /,
) -> object: ...
def score(plan: object, numbers: NDArray[Any], out: NDArray[Any], /) -> None: ...
