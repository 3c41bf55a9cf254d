"""Fit with scikit-learn (or anything with its shape), convert to ONNX, and probe the original."""
