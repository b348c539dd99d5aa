"""Widgets: they draw what they are given and know neither backends nor procfs."""
