"""Readings for Prometheus: a text file that a server or a node exporter shows, and a Pushgateway."""
