"""Entity mode: a request brings keys alone, and features are filled in from the online store."""

import numpy as np

from mainspring.kernel.contract import Contract
from mainspring.kernel.errors import MainspringError
from mainspring.serve.errors import BadInput, FeaturesFailed
from mainspring.serve.ports import Assemble
from mainspring.serve.questions import Question
from mainspring.stats.columns import Columns

ASK_PREFIX = "ask."
_TRY_AGAIN = 75


def is_entity(question: Question) -> bool:
    """Tell whether features are to be filled in: only keys were sent, perhaps with columns of the ask's own row."""
    if question.matrix is not None:
        return False
    return all(name.startswith(ASK_PREFIX) for name in question.tensors)


def assembled(assemble: Assemble | None, contract: Contract, question: Question, now: int) -> Columns:
    """Return every input of `contract` for the question's keys, as of its times (`now` where it has none)."""
    if assemble is None:
        raise BadInput("this server has no online store", fix="send every input of the model")
    request = {name.removeprefix(ASK_PREFIX): tensor.values for name, tensor in question.tensors.items()}
    asked_at = question.asked_at
    if asked_at is None:
        asked_at = np.full(question.rows, now, dtype=np.int64)
    try:
        columns = assemble(contract, request, question.keys, asked_at)
    except MainspringError as error:
        if error.exit_code == _TRY_AGAIN:
            raise FeaturesFailed("the online store did not answer", fix="try again, or send every input") from error
        raise BadInput(f"features could not be assembled: {error.what[:200]}", fix=error.fix) from error
    except Exception as error:  # a store has exceptions of its own; its failure is not the client's mistake
        raise FeaturesFailed("the online store failed", fix="send every input, or try again") from error
    missing = [item.name for item in contract.inputs if item.name not in columns]
    if missing:
        raise BadInput(f"the online store has no {missing[0]!r}", fix="run features materialise, or send every input")
    return columns
