"""Save the model in MLflow's own flavour so that it answers probabilities: FOLDER MODEL."""

import sys
from pathlib import Path

import mlflow.sklearn
from same_model import fitted

if not Path(sys.argv[1]).exists():
    mlflow.sklearn.save_model(
        fitted(sys.argv[2]), sys.argv[1], pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle",
        pip_requirements=["scikit-learn", "mlflow"],
    )  # fmt: skip
