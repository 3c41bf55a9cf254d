"""Score several requests' rows in one call, and give each request its own part back. Pure.

One bad request fails only itself: where a joined call fails, every request is scored alone. A score that is not finite
needs no second call, for it stays in its own request's part.
"""

import time
from collections.abc import Callable, Sequence

from mainspring.serve.blocks import Block, joined
from mainspring.serve.errors import ModelRefused
from mainspring.serve.versions import Version
from mainspring.stats.columns import Floats

Outcome = tuple[Floats, int] | ModelRefused  # (scores, the request's share of the call's microseconds), or why not


def alone(version: Version, block: Block, clock: Callable[[], int] = time.perf_counter_ns) -> Outcome:
    """Return the outcome of one request; never raises what an engine may raise. clock: times it, in nanoseconds."""
    started = clock()
    try:
        scores = version.score(block)
    except ModelRefused as error:
        return error
    return scores, (clock() - started) // 1_000


def together(version: Version, blocks: Sequence[Block]) -> list[Outcome]:
    """Return an outcome a block, in order; never raises what an engine may raise."""
    if len(blocks) == 1:
        return [alone(version, blocks[0])]
    started = time.perf_counter_ns()
    try:
        scores = version.score(joined(blocks))
    except ModelRefused:
        return [alone(version, block) for block in blocks]
    each, outcomes, start = (time.perf_counter_ns() - started) / 1_000 / len(scores), list[Outcome](), 0
    for block in blocks:
        end = start + len(block.numbers)
        outcomes.append((scores[start:end], round(each * len(block.numbers))))
        start = end
    return outcomes
