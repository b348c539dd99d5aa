"""Observations to a file and back, and what is taken out of them on the way."""
