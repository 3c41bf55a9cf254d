"""The Open Inference Protocol over gRPC (extra `grpc`): the same fleet, limits and log as over HTTP.

`messages` loads the protocol's types into a pool of their own; `codec` turns them into questions and answers;
`services` are the calls; `server` starts the ports. Calls run on a few threads of the library (its asyncio server was
slower). `quick` scores one plain row of a fast model there; everything else hops onto the serving thread.
"""
