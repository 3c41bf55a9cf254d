"""Every protocol over a socket, and a label from an answer's id to the quality of the model."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.serve.protocol_kit import GOOD, scores_of
from tests.unit.serve.serving_kit import MODEL, NOW, RunningServer, running

from mainspring.adapters.files.label_inbox import LabelInbox
from mainspring.adapters.files.logs_reader import SegmentReader
from mainspring.adapters.memory.observations import Observations
from mainspring.flows.ingest import ingest
from mainspring.flows.labels import LabelPorts
from mainspring.flows.posted import Posted, take_posted
from mainspring.kernel.times import HOUR

PATHS = {
    "v2": f"/v2/models/{MODEL}/infer", "v1": f"/v1/models/{MODEL}:predict", "mlflow": "/invocations",
    "seldon": "/seldon/default/flights/api/v1.0/predictions",
}  # fmt: skip
EVER = 10**18


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running(folder / "log", labels=LabelInbox(folder / "labels")) as found:
        yield found


@pytest.mark.parametrize("name", GOOD)
def test_every_form_of_every_protocol_is_answered(server: RunningServer, name: str) -> None:
    codec, wire, body = GOOD[name]
    status, headers, content = server.ask("POST", PATHS[codec.name], body, {"Content-Type": wire.content_type})
    assert status == 200, content
    assert headers["content-type"] == "application/json"
    scores = scores_of(codec.name, json.loads(content))
    assert scores == pytest.approx([1 / (1 + np.exp(-0.25)), 1 / (1 + np.exp(-0.4))])


@pytest.mark.parametrize("name", ["v1 rows", "seldon ndarray", "mlflow inputs rows"])
def test_a_label_by_an_answers_id_reaches_the_models_quality(server: RunningServer, folder: Path, name: str) -> None:
    codec, wire, body = GOOD[name]
    _, _, content = server.ask("POST", PATHS[codec.name], body, {"Content-Type": wire.content_type})
    answer = json.loads(content)
    if codec.name == "seldon":
        posted: object = {"response": answer, "truth": {"data": {"ndarray": [[1], [0]]}}}
        names, path = answer["meta"]["tags"]["prediction_ids"], "/api/v1.0/feedback"
    else:
        names, path = answer["parameters"]["prediction_ids"], "/v1/feedback"
        posted = {"labels": [{"prediction_id": n, "value": 1 - row} for row, n in enumerate(names)]}
    status, _, content = server.ask("POST", path, json.dumps(posted).encode(), {"Content-Type": "application/json"})
    assert status == 200, content
    assert server.ask("POST", "/admin/flush", b"", admin=True)[0] == 200
    reader, observations = SegmentReader(folder / "log"), Observations()
    ingest(reader, observations, lambda _: None, every=6 * HOUR)
    ports = LabelPorts(find=reader.find, add=observations.add_labels)
    assert take_posted(LabelInbox(folder / "labels"), ports, now=NOW + HOUR) == Posted(kept=2)
    rows = observations.matured(0, EVER, EVER)
    assert dict(zip(rows["key"].tolist(), rows["value"].tolist(), strict=True)) == {names[0]: 1.0, names[1]: 0.0}
