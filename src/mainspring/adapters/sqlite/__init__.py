"""Embedded SQLite in rollback-journal mode: observations and online features.

Not WAL: SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when a write and a checkpoint meet.
"""
