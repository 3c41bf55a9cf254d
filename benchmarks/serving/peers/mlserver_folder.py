"""Write an MLServer folder: FOLDER PORT MODEL RUNTIME [MAX_BATCH_SIZE MAX_BATCH_TIME]."""

import json
import os
import sys
from pathlib import Path

folder, port, model, runtime = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
folder.mkdir(parents=True, exist_ok=True)
settings = {
    "host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "parallel_workers": 0,
    "debug": False, "use_structured_logging": False,
}  # fmt: skip
(folder / "settings.json").write_text(json.dumps(settings))
described = {"name": model, "implementation": runtime, "parameters": {"uri": f"{os.environ['MODELS']}/{model}.joblib"}}
if len(sys.argv) > 5:
    described |= {"max_batch_size": int(sys.argv[5]), "max_batch_time": float(sys.argv[6])}
(folder / "model-settings.json").write_text(json.dumps(described))
