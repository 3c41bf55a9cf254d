"""Score with ONNX Runtime: the same engine in steps and in the server."""
