"""The inference server over HTTP: it moves bytes between sockets and `serve.inference`, and decides nothing.

`server.run` starts it; `http` is the public port, `admin` the loopback one, `protocol` holds connection limits and
deadlines, `metrics` exports counts.
"""
