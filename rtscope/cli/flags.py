"""The flags that every reading verb has, declared once."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import Any

from rtscope.config.deadlines import WATCH_INTERVAL_S

DEFAULTS: dict[str, Any] = {
    "filter": [],
    "namespace": [],
    "pod_namespace": [],
    "engine": [],
    "runtime": [],
    "watch": False,
    "interval": None,
    "strict": False,
    "read_only": False,
    "demo": False,
    "nested": False,
    "activate": False,
    "output": None,
    "sort": None,
    "no_trunc": False,
    "timeout": None,
    "host": [],
    "host_root": None,
    "from_file": None,
    "color": "auto",
    "utc": False,
    "verbose": False,
    "log_file": None,
}
"""Every flag's value where it is not given; a verb's own flags have theirs in its module."""

FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name", "custom-columns=", "jsonpath=")


def blank() -> Namespace:
    """A namespace with every common flag at its default."""
    return Namespace(**{k: list(v) if isinstance(v, list) else v for k, v in DEFAULTS.items()})


def add_common(parser: ArgumentParser, *, short: bool = False) -> None:
    """Adds the common flags. Each is absent from the result unless given, so that a flag before
    the verb is not undone by the verb's own default.

    Args:
        parser: Of one verb, or of the program.
        short: With the short letters that `docker ps` users type.
    """  # noqa: D205 - one sentence too long for a line
    _choosing(parser, short=short)
    _showing(parser)
    _reading(parser)


def _choosing(parser: ArgumentParser, *, short: bool) -> None:
    def names(long: str, letter: str) -> list[str]:
        return [letter, long] if short else [long]

    group = parser.add_argument_group("choosing")
    many: dict[str, Any] = {"action": "append", "default": SUPPRESS}
    group.add_argument(
        *names("--filter", "-f"),
        metavar="KEY=VALUE",
        help="same key: or; different keys: and. id name image state label namespace engine"
        " runtime pid exited pod health verdict nested user",
        **many,
    )
    group.add_argument(
        *names("--namespace", "-n"), metavar="NS", help="containerd's namespace", **many
    )
    group.add_argument("--pod-namespace", metavar="NS", help="Kubernetes' namespace", **many)
    group.add_argument("--engine", metavar="NAMES", help="docker,containerd,cri,podman,oci", **many)
    group.add_argument("--runtime", metavar="NAME", help="any engine or OCI runtime", **many)


def _showing(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("showing")
    group.add_argument(
        "--output",
        "-o",
        metavar="FORMAT",
        default=SUPPRESS,
        help="table, wide, json, jsonl, yaml, name, custom-columns=HEADER:PATH,..., jsonpath=...",
    )
    group.add_argument("--sort", metavar="COLUMN", default=SUPPRESS, help="-COLUMN reverses")
    group.add_argument("--no-trunc", action="store_true", default=SUPPRESS, help="cut nothing")
    group.add_argument(
        "--color", choices=("auto", "always", "never"), default=SUPPRESS, help="default: auto"
    )
    group.add_argument("--utc", action="store_true", default=SUPPRESS, help="instants in UTC")


def add_watch(parser: ArgumentParser) -> None:
    """`--watch` and `--interval`, where a verb can repeat itself."""
    parser.add_argument(
        "--watch", "-w", action="store_true", default=SUPPRESS, help="read again and again"
    )
    parser.add_argument(
        "--interval",
        metavar="S",
        default=SUPPRESS,
        help=f"seconds between two readings (default {WATCH_INTERVAL_S:g})",
    )


def _reading(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("reading")
    many: dict[str, Any] = {"action": "append", "default": SUPPRESS}
    yes: dict[str, Any] = {"action": "store_true", "default": SUPPRESS}
    one: dict[str, Any] = {"default": SUPPRESS}
    group.add_argument(
        "--host", metavar="ADDRESS", help="an endpoint to read too: unix://..., tcp://...", **many
    )
    group.add_argument(
        "--host-root", metavar="DIR", help="where the node's file systems are mounted", **one
    )
    group.add_argument(
        "--from", dest="from_file", metavar="FILE", help="show a recording instead", **one
    )
    group.add_argument("--demo", help="show the recorded node that ships with rtscope", **yes)
    group.add_argument("--timeout", metavar="DURATION", help="limit in all (default 2.5s)", **one)
    group.add_argument("--strict", help="exit 4 where something could not be read", **yes)
    group.add_argument("--nested", help="dial engines inside containers too", **yes)
    group.add_argument("--activate", help="dial sockets that would start a daemon", **yes)
    group.add_argument("--read-only", help="refuse every verb that changes something", **yes)
    group.add_argument("--verbose", "-v", help="more notes; tracebacks of our bugs", **yes)
    group.add_argument("--log-file", metavar="FILE", help="where tracebacks go", **one)
