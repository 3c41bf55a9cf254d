"""Attributions by SHAP (extra `explain`), in a process beside the server: the library takes seconds to import."""
