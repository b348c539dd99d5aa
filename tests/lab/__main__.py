"""Labs for people: python -m tests.lab up|down|status|json [NAME]"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from tests.lab import teardown
from tests.lab.layout import ENGINES, GENERATIONS, LabError, Layout
from tests.lab.node import Node, many


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start a lab, or a crowd of running containers")
    up.add_argument("name")
    up.add_argument("--generation", choices=GENERATIONS, default="forky")
    up.add_argument("--engines", default=",".join(ENGINES), help="comma-separated subset")
    up.add_argument("--bare", action="store_true", help="daemons only, no population")
    up.add_argument("--image-store", action="store_true", help="dockerd on containerd's images")
    up.add_argument("--many", type=int, metavar="N", help="N running containers instead")
    for verb, text in (("down", "remove a lab completely"), ("json", "what a lab holds now")):
        verbs.add_parser(verb, help=text).add_argument("name")
    verbs.add_parser("status", help="labs of this machine")
    return parser


def _up(arguments: argparse.Namespace) -> None:
    name = arguments.name
    if os.path.exists(Layout(name).path("lab.json")):
        node = Node.load(name)
        if set(node.daemons.pids) == set(node.daemons.names()):
            print(f"{name} is up already", file=sys.stderr)
            return
    if arguments.many:
        node = many(arguments.many, name, generation=arguments.generation, owned=False)
    else:
        node = Node(
            name,
            generation=arguments.generation,
            engines=tuple(e for e in arguments.engines.split(",") if e),
            seed=not arguments.bare,
            containerd_image_store=arguments.image_store,
            owned=False,
        ).start()
    print(f"{name} is up after {node.up_seconds} s in {node.layout.dir}", file=sys.stderr)
    for kind, path in node.layout.sockets.items():
        print(f"{kind:<11} {path}")


def _status() -> None:
    for name in teardown.names():
        layout = Layout(name)
        try:
            node = Node.load(name)
            alive = node.daemons.pids
            words = [f"{n}={alive.get(n, 'dead')}" for n in node.daemons.names()]
            state = f"{node.generation} {' '.join(words)}"
        except LabError:
            state = "half-made"
        count, mounts = len(teardown.lab_processes(layout)), len(teardown.mounts_below(layout.dir))
        print(f"{name}: {state} processes={count} mounts={mounts}")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        if arguments.verb == "up":
            _up(arguments)
        elif arguments.verb == "down":
            left = teardown.take_down(arguments.name)
            if left:
                raise LabError(f"left: {', '.join(left)}")
        elif arguments.verb == "json":
            print(json.dumps(Node.load(arguments.name).describe(), indent=1))
        else:
            _status()
    except LabError as error:
        print(f"tests.lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
