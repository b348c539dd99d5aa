"""Screens that lie over the view."""
