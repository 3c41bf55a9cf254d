"""CloudEvents 1.0 over HTTP, with the standard library alone."""
