"""python -m tests.lab.vm build|shell: builds it; `shell` runs lines typed on stdin in it."""

import sys

from tests.lab.vm.build import build
from tests.lab.vm.machine import Machine


def main() -> int:
    build()
    if sys.argv[1:] == ["build"]:
        return 0
    with Machine() as machine:
        print("ready: one command a line, end with Ctrl-D", file=sys.stderr)
        for line in sys.stdin:
            done = machine.run(line.strip())
            print(done.stdout, end="", flush=True)
            print(done.stderr, end="", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
