"""Every server of the comparison: how it is started, where it listens, and in which shape it is asked.

In `argv`, `env`, `setup`, `path` and `cwd` stand {port}, {next} (the port after it, for gRPC), {model} (gb or rf),
{home} (the benchmark's folder), {here} (this folder) and {bin} (the commands of the server's own environment). Peers
run at the best settings we know, without a line of log a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving import bodies
from serving.bodies import Shape

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One entry. environment: the list under requirements/tools, or "" for our own; package: whose version is told."""

    name: str
    label: str
    environment: str
    package: str
    shape: Shape
    path: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    cwd: str = "{home}"
    engine: str = "scikit-learn"


def _mlserver(name: str, label: str, *batching: str, ort: bool = False) -> Server:
    folder = f"{{home}}/{name}-{{model}}"
    runtime = "mlserver_ort.OrtModel" if ort else "mlserver_sklearn.SKLearnModel"
    return Server(
        name=name, label=label, environment="mlserver", package="mlserver", shape=bodies.V2,
        path="/v2/models/{model}/infer", argv=("{bin}/mlserver", "start", "."), cwd=folder,
        setup=("{bin}/python", "{here}/peers/mlserver_folder.py", folder, "{port}", "{model}", runtime, *batching),
        engine="onnxruntime" if ort else "scikit-learn",
    )  # fmt: skip


def _kserve(name: str, label: str, engine: str) -> Server:
    return Server(
        name=name, label=label, environment="kserve", package="kserve", shape=bodies.V2,
        path="/v2/models/{model}/infer", argv=("{bin}/python", "{here}/peers/kserve_server.py"), engine=engine,
        env={"ENGINE": "ort"} if engine == "onnxruntime" else {},
    )  # fmt: skip


def _bento(name: str, label: str, module: str) -> Server:
    return Server(
        name=name, label=label, environment="bentoml", package="bentoml", shape=bodies.PLAIN, path="/predict",
        argv=("{bin}/bentoml", "serve", f"{module}:Service", "--port", "{port}", "--host", "127.0.0.1"),
        cwd="{here}/peers", env={"BENTOML_HOME": "{home}/bentoml"},
    )  # fmt: skip


def _lit(name: str, label: str, batch: str) -> Server:
    return Server(
        name=name, label=label, environment="litserve", package="litserve", shape=bodies.NAMED, path="/predict",
        argv=("{bin}/python", "{here}/peers/lit_server.py"), env={"BATCH": batch},
    )  # fmt: skip


PEERS = (
    _mlserver("mlserver", "MLServer, in process"),
    _mlserver("mlserver-batch", "MLServer, adaptive batching 16 / 2 ms", "16", "0.002"),
    _mlserver("mlserver-ort", "MLServer, in process, on onnxruntime", ort=True),
    _mlserver("mlserver-batch-ort", "MLServer, adaptive batching, on onnxruntime", "16", "0.002", ort=True),
    _kserve("kserve", "KServe's Python server", "scikit-learn"),
    _kserve("kserve-ort", "KServe's Python server, on onnxruntime", "onnxruntime"),
    _bento("bentoml", "BentoML", "bento_service"),
    _bento("bentoml-batch", "BentoML, batchable", "bento_batched"),
    Server(
        name="mlflow", label="mlflow models serve", environment="mlflow", package="mlflow", shape=bodies.MLFLOW,
        path="/invocations",
        setup=("{bin}/python", "{here}/peers/mlflow_folder.py", "{home}/mlflow-{model}", "{model}"),
        argv=("{bin}/mlflow", "models", "serve", "-m", "{home}/mlflow-{model}", "--env-manager", "local",
              "-h", "127.0.0.1", "-p", "{port}", "-w", "1"),
        env={"UVICORN_ACCESS_LOG": "false"},
    ),
    Server(
        name="seldon", label="Seldon's wrapper", environment="seldon", package="seldon-core", shape=bodies.SELDON,
        path="/api/v1.0/predictions", cwd="{here}/peers",
        argv=("{bin}/seldon-core-microservice", "SeldonModel", "--service-type", "MODEL", "--http-port", "{port}",
              "--workers", "1", "--threads", "1", "--log-level", "ERROR"),
        env={"GRPC_WORKERS": "0", "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": "0", "SELDON_LOG_LEVEL": "ERROR"},
    ),
    _lit("litserve", "LitServe", ""),
    _lit("litserve-batch", "LitServe, batches of 16 / 2 ms", "1"),
    Server(
        name="ray", label="Ray Serve", environment="ray", package="ray", shape=bodies.V2,
        path="/v2/models/{model}/infer", argv=("{bin}/python", "{here}/peers/ray_server.py"),
    ),
)  # fmt: skip


def ours(name: str, label: str, folder: str, *, shape: Shape = bodies.OURS, options: tuple[str, ...] = ()) -> Server:
    """Return an entry for `mainspring serve` on the project in `folder`."""
    return Server(
        name=name, label=label, environment="", package="mainspring", shape=shape, path="/v2/models/{model}/infer",
        argv=("{bin}/mainspring", "-C", folder, "serve", "--port", "{port}", *options), engine="onnxruntime",
    )  # fmt: skip


def filled(text: str, *, port: int, model: str, home: Path, bin_: Path) -> str:
    """Return `text` with its places filled."""
    return text.format(port=port, next=port + 1, model=model, home=home, here=HERE, bin=bin_)
