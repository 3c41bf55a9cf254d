"""Expected failures, told so that the reader can act on them.

Every class has a stable `code` (documented in docs/errors.md; a test keeps the page whole) and an `exit_code`:
2 the user's mistake, 1 a failed run, 3 a refused or rolled-back release, 75 try again.
"""

from typing import ClassVar


class MainspringError(Exception):
    """An expected failure: what happened, with the value, and what to do about it."""

    code: ClassVar[str] = "mainspring"
    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(what, fix)
        self.what, self.fix = what, fix

    def __str__(self) -> str:
        return f"{self.what} [{self.code}]\n  fix: {self.fix}"


class InvalidValue(MainspringError):
    """A value that cannot be: a bad duration, digest, time or name."""

    code = "value.invalid"


class NotFound(MainspringError):
    """Something named does not exist."""

    code = "not_found"


class Damaged(MainspringError):
    """Stored bytes are not what was written: a digest, checksum or chain does not hold."""

    code = "damaged"
    exit_code = 1


class Conflict(MainspringError):
    """Another writer was first; nothing was changed."""

    code = "conflict"
    exit_code = 75


class RunFailed(MainspringError):
    """A step of a run failed; finished steps are kept."""

    code = "run.failed"
    exit_code = 1


class Refused(MainspringError):
    """A gate, a signature or a policy said no."""

    code = "refused"
    exit_code = 3
