"""Online features in one Redis or Valkey (extra `redis`), for servers that share no disk: one primary, not a cluster.

`client` is the connection, `rows` how a row is packed, `online` the store.
"""
