"""Show runs in MLflow."""
