"""Tell a webhook something: one JSON POST, with the key `text` that chat programs show."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from mainspring.kernel.errors import MainspringError

_TIMEOUT_S = 5


class WebhookFailed(MainspringError):
    """A webhook could not be told; whatever it was about stands."""

    code = "webhook.failed"
    exit_code = 1


def tell(url: str, text: str, facts: Mapping[str, Any]) -> None:
    """Post `{"text": text, **facts}`. The address is a secret and never shown."""
    if not url.startswith(("https://", "http://")):
        raise WebhookFailed("a webhook's address is not http or https", fix="see alerts.to")
    body = json.dumps({"text": text, **facts}).encode("utf-8")
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT_S):  # noqa: S310 - checked above
            return
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else type(error).__name__
        raise WebhookFailed(f"a webhook was not told: {why}", fix="tell people yourself; see alerts.to") from error
