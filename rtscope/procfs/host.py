"""The node's files, as the only door to them. To be replaced by the full implementation."""


class Host:
    """The node's file systems and /proc."""

    def __init__(self, root: str = "/") -> None:
        self.root = root
