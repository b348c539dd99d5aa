"""Views: one file each, entered in `registry`."""
