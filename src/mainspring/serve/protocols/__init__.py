"""Pure codecs, one file a protocol: bytes to a `Question`, an `Answer` to bytes. They know no model and no framework.

`v2` reads the Open Inference Protocol (JSON and binary tensors), `v2_answers` writes it.
"""
