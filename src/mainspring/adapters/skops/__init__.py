"""scikit-learn estimators as skops files (extra `skops`), for what does not convert to ONNX. Never a pickle."""
