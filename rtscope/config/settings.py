"""What the user asked for: the merged result of flags, environment and configuration files."""

from collections.abc import Mapping

from rtscope.config.deadlines import Deadlines
from rtscope.model.facts import fact, field


@fact
class Settings:
    """One run's settings; discovery and collection read nothing else.

    Attributes:
        hosts: Addresses the user named with `--host`, in order.
        host_root: Where the node's file systems are seen: `/`, or `/host` in a debug pod.
        engines: Only these backends; None is all.
        sockets: KIND -> paths that a configuration file adds.
        roots: KIND -> state directories that a configuration file adds.
        is_nested: Dial sockets of engines inside containers too.
        may_activate: Connect to sockets whose daemon would be started by it.
        environ: The environment as the original clients would read it; empty under sudo where it
            belongs to another user.
    """

    hosts: tuple[str, ...] = ()
    host_root: str = "/"
    engines: tuple[str, ...] | None = None
    sockets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_nested: bool = False
    may_activate: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)
    environ: Mapping[str, str] = field(default_factory=dict)
