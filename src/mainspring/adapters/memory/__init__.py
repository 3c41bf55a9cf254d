"""Adapters that keep everything in memory: slow, obviously right references for the conformance suites and tests."""
