"""A subject to render in tests: one project with an environment of each platform."""

from dataclasses import replace

from mainspring.app.rendering import shipped
from mainspring.deliver.render.subject import PLATFORMS, Place, Subject

HOUR = 3_600_000_000
IMAGE = "registry.example/flight-delay/ml-api@sha256:" + "a" * 64


def place(name: str, platform: str, **more: object) -> Place:
    start = Place(
        name=name, platform=platform, replicas=(2, 2), approvals=0, scheduler="", schedule="0 */6 * * *", image=IMAGE
    )
    return replace(start, **more)  # type: ignore[arg-type]


def subject(*places: Place) -> Subject:
    return Subject(
        name="flight-delay", model="flight-delay", description="Late?", owner="ops-analytics",
        digest="sha256:" + "0" * 64, mainspring="0.1.0", every_us=6 * HOUR, window_us=168 * HOUR,
        label_delay_us=12 * HOUR, error_rate=0.01, latency_p99_us=50_000, page=("quality", "unavailable"),
        tell=("drift",), webhooks=("secret://env/ALERT_WEBHOOK",),
        repository="https://git.example/ops/flight-delay.git", branch="main",
        registry="registry.example/ops/flight-delay", ci="github", login="token", base="",
        shipped=shipped(),
        places=places or tuple(place(f"on-{platform}", platform) for platform in PLATFORMS if platform != "local"),
    )  # fmt: skip
