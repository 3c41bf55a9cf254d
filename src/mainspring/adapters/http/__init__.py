"""The inference server over HTTP, as a client sees it."""
