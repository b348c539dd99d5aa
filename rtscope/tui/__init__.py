"""The interactive view."""
