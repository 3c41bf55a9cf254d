"""Rendered objects as YAML text, by ruamel.yaml."""
