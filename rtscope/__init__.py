"""rtscope: every container runtime of a Linux node in one view."""

__version__ = "0.1.0"
