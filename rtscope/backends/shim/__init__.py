"""Asks every shim for its tasks."""
