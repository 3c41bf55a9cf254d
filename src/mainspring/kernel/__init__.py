"""Words that every layer shares: errors, digests, time, ids, events, records. Standard library only.

Nothing here decides anything about models. Start at `events` (the ledger's one record type), then `contract`
(what a model directory promises to a server) and `records` (what a server logs).
"""
