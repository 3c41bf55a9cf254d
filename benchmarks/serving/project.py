"""Our side: a project of 30 numbers and two classes, trained, signed and promoted by the command line."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from serving import same_model

PREFIX = "cell"
FILE = """
version: 1
project: {name}
description: Is the lump benign? Asked when the cells are measured.
owner: benchmark
data:
  sources:
    samples:
      uri: data/samples.parquet
      key: id
      event_time: measured_at
      known_at: {{measured_at: [{columns}], settled_at: others}}
ask: {{from: samples, key: id, at: measured_at}}
features:
  {prefix}: {{from: samples, columns: [{columns}]}}
target: {{name: benign, from: samples, expression: outcome > 0, kind: binary}}
training: {{function: "cells.train:fit", window: all, holdout: 30d}}
gates: [{{floor: {{metric: roc_auc, at_least: 0.5}}}}]
environments: {{local: {{}}}}
"""
TRAIN = """
import sys

sys.path.insert(0, {folder!r})
import same_model
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

def fit(frame, target, params):
    # the model that every server of the comparison holds, whatever part of the rows this run would learn from
    assert [name.split(".")[1] for name in frame.columns] == list(same_model.FEATURES)
    pick = ColumnTransformer([("numbers", "passthrough", list(frame.columns))]).fit(frame)
    return Pipeline([("pick", pick), ("model", same_model.fitted({name!r}))])
"""


def made(root: Path, name: str, suffix: str = "") -> Path:
    """Return the folder of the project that serves `name`; made, trained and promoted once."""
    folder = root / f"project-{name}{suffix}"
    if (folder / "environments" / "local" / "release.yaml").is_file():
        return folder
    _written(folder, name)
    for command in (["snapshot"], ["train"], ["promote", "1"]):
        told(folder, *command)
    return folder


def second_version(folder: Path) -> None:
    """Train a smaller model as version 2, once, so that two versions can take turns."""
    source = folder / "src" / "cells" / "train.py"
    text = source.read_text()
    smaller = text.replace("'))])", "', 90))])")
    if smaller != text:
        source.write_text(smaller)
        subprocess.run([*_GIT, "commit", "-qam", "a smaller model"], cwd=folder, check=True)
        told(folder, "train")


def adopted(folder: Path, name: str, graph: Path) -> None:
    """Make a project that adopts an ONNX graph and serves it."""
    _written(folder, name)
    told(folder, "import", str(graph))
    told(folder, "promote", "1")


def _written(folder: Path, name: str) -> None:
    (folder / "src" / "cells").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "src" / "cells" / "__init__.py").write_text("")
    source = str(Path(same_model.__file__).parent)
    (folder / "src" / "cells" / "train.py").write_text(TRAIN.format(folder=source, name=name))
    columns = ", ".join(same_model.FEATURES)
    (folder / "mainspring.yaml").write_text(FILE.format(name=name, columns=columns, prefix=PREFIX))
    (folder / ".gitignore").write_text(".mainspring/\ndata/\n")
    _write_data(folder / "data" / "samples.parquet")
    for argv in (["git", "init", "-q", "-b", "main"], ["git", "add", "-A"], [*_GIT, "commit", "-qm", "a project"]):
        subprocess.run(argv, cwd=folder, check=True)


def token(folder: Path) -> str:
    """Return the secret of the project's one API key; from then on its server asks for one."""
    kept = folder.with_name(f"{folder.name}.token")
    if not kept.is_file():
        roles = [word for role in ("predict", "metadata", "label") for word in ("--role", role)]
        made = told(folder, "tokens", "create", "bench", *roles, "--json")
        kept.write_text(json.loads(made)["secret"])
        kept.chmod(0o600)
    return kept.read_text()


def told(folder: Path, *command: str) -> str:
    """Run a command of ours in the project and return what it says; raise `RuntimeError` where it fails."""
    argv = [sys.executable, "-m", "mainspring", "-C", str(folder), *command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


_REPEATED = 6
_GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.invalid")


def _write_data(path: Path) -> None:
    rows, classes = same_model.data()  # repeated: the gates want at least 500 rows held out
    rows, classes = np.tile(rows, (_REPEATED, 1)), np.tile(classes, _REPEATED)
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    measured = pd.to_datetime([last - timedelta(hours=len(rows) - row) for row in range(len(rows))])
    table = pd.DataFrame(rows, columns=list(same_model.FEATURES))
    table.insert(0, "id", [f"s{row:04d}" for row in range(len(rows))])
    table["measured_at"], table["settled_at"] = measured, measured + pd.Timedelta(hours=1)
    table["outcome"] = classes.astype(np.int64)
    with duckdb.connect() as connection:
        connection.register("given", table)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY (SELECT * FROM given) TO '{path}' (FORMAT parquet)")
