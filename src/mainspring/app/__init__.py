"""Wiring: the only place that names both a port and its adapters, a module a layer.

Start at `workspace`: it opens a project (or a replay's folder) and hands every flow its ports. Imports of heavy
adapters stand inside functions, so that a command pays only for what it uses.
"""
