"""Frozen facts, standard library only. Nothing here does I/O, logs or keeps a client."""
