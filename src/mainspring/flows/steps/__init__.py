"""The bodies of the five steps, one file a step, and `perform`, which runs one of them for a saved run.

A body is a function of (run, files, ports): `files` maps the names of earlier files to digests, and what it writes
goes into the content store. No body sees a key or the ledger except `register_model`, which runs in the
orchestrating process and never beside user code.
"""
