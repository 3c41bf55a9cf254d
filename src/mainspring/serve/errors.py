"""What a client is told when there is no answer: a stable code, an HTTP status, what and fix.

The status numbers are HTTP's because every protocol maps from them (gRPC has a table of its own); nothing here
imports a web framework.
"""

from typing import ClassVar

from mainspring.kernel.errors import MainspringError

_SHOWN = 80


def shown(value: object) -> str:
    """Return a client's value for an error text: quoted, escaped and cut, so that it cannot carry markup far."""
    text = ascii(value if isinstance(value, str) else str(value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


class RequestRefused(MainspringError):
    """A request that gets no answer."""

    code = "request"
    status: ClassVar[int] = 400


class BadBody(RequestRefused):
    """The body is not one JSON document of the protocol's shape, or its framing is wrong."""

    code = "request.body"


class BadTensor(RequestRefused):
    """A tensor's name, datatype, shape or data does not hold."""

    code = "request.tensor"


class BadInput(RequestRefused):
    """An input is missing, unknown or of the wrong kind for the model."""

    code = "request.input"


class BadParameter(RequestRefused):
    """A request parameter or header is unknown or has a wrong value."""

    code = "request.parameter"


class TooLarge(RequestRefused):
    """The body or the number of rows is above the limit."""

    code = "request.too_large"
    status = 413


class WrongMedia(RequestRefused):
    """The content type or encoding is not one that the server reads."""

    code = "request.media"
    status = 415


class TooSlow(RequestRefused):
    """The body did not arrive in time."""

    code = "request.timeout"
    status = 408


class UnknownModel(RequestRefused):
    """No such model or version is served here."""

    code = "model.unknown"
    status = 404


class UnknownRoute(RequestRefused):
    """No such path on this port."""

    code = "route.unknown"
    status = 404


class WrongMethod(RequestRefused):
    """The path does not take this method. allow: those that it takes, as the header Allow says it."""

    code = "route.method"
    status = 405

    def __init__(self, what: str, *, allow: str) -> None:
        super().__init__(what, fix=f"use {allow.replace(', ', ' or ')}")
        self.allow = allow


class Forbidden(RequestRefused):
    """The request came from a web page or another machine."""

    code = "route.forbidden"
    status = 403


class NotReady(RequestRefused):
    """No verified model is loaded yet, or the server is leaving."""

    code = "server.not_ready"
    exit_code = 75
    status = 503


class ModelFailed(RequestRefused):
    """The champion gave an error or a number that is not finite."""

    code = "model.failed"
    exit_code = 1
    status = 500


class FeaturesFailed(RequestRefused):
    """The online store did not answer; requests that bring their features are answered."""

    code = "features.failed"
    exit_code = 75
    status = 503


class Unauthorised(RequestRefused):
    """No API key was sent, or it is not one that counts."""

    code = "auth.required"
    status = 401


class UnknownKey(Unauthorised):
    """The API key is not known here, or was revoked."""

    code = "auth.invalid"


class ExpiredKey(Unauthorised):
    """The API key has expired."""

    code = "auth.expired"


class Denied(RequestRefused):
    """The API key may not do this, or not on this model."""

    code = "auth.denied"
    status = 403


class TryLater(RequestRefused):
    """There are too many requests now. retry_after_s: seconds after which one may be let in."""

    code = "limit"
    exit_code = 75
    status = 429

    def __init__(self, what: str, *, fix: str, retry_after_s: float) -> None:
        super().__init__(what, fix=fix)
        self.retry_after_s = retry_after_s


class RateLimited(TryLater):
    """The key asks more often than it may."""

    code = "limit.rate"


class BudgetSpent(TryLater):
    """The key's rows of this period are used up."""

    code = "limit.budget"


class Overloaded(TryLater):
    """The server or the model is asked faster than it answers."""

    code = "limit.concurrency"
    status = 503


class BodiesFull(Overloaded):
    """The bodies that are on their way, of all clients together, are as large as the server keeps."""

    code = "limit.bodies"


class DeadlinePassed(RequestRefused):
    """The answer would come after the request's own deadline."""

    code = "request.deadline"
    exit_code = 75
    status = 504


class LabelsFull(RequestRefused):
    """Posted labels wait for a watch, and no more fit."""

    code = "labels.full"
    exit_code = 75
    status = 503


class ModelRefused(MainspringError):
    """A model may not serve: its sample scores differ, its contract clashes or its engine fails."""

    code = "model.refused"
    exit_code = 3


class ModelGone(ModelRefused):
    """The process that a model runs in ended; a challenger without one is not asked again."""

    code = "model.gone"


class RowsRefused(ModelRefused):
    """A model says that these rows are not for it; the champion's client is told so, and no other request fails."""

    code = "model.rows"

    def __init__(self, told: RequestRefused) -> None:
        super().__init__(told.what, fix=told.fix)
        self.told = told
