"""develop"""
