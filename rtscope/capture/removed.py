"""What redaction took out."""

from rtscope.model.facts import fact


@fact
class Removed:
    """One value that was taken out.

    Attributes:
        path: Where it stood: `docker:///run/docker.sock.containers[ID].labels.KEY`.
        reason: What gave it away.
    """

    path: str
    reason: str
