"""Pure rules about trust: which bytes a model is made of, who signed them, and which formats may be parsed at all.

Nothing here reads a file, a clock or the environment. Start at `manifests` (what a model is), then `signing`
(who vouches for it) and `artifacts` (what is allowed inside). `tokens` says who may ask the server what.
"""
