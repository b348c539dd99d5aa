"""Gets the machine ready for labs: python -m tests.lab.prepare [--suites forky,trixie] [--youki]"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.lab import engines, packages


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.prepare", description=__doc__)
    parser.add_argument("--suites", default="", help="newer engines, e.g. forky,trixie")
    parser.add_argument("--youki", action="store_true", help="build youki, where cargo is there")
    arguments = parser.parse_args(argv)
    suites = [name for name in arguments.suites.split(",") if name]
    unknown = sorted(set(suites) - set(engines.SUITES))
    if unknown:
        parser.error(f"unknown suite {unknown[0]}: one of {', '.join(engines.SUITES)}")
    if os.geteuid() != 0 or packages.find("apt-get") is None:
        print("tests.lab: the lab needs root and apt; its tests will be skipped", file=sys.stderr)
        return 1 if os.environ.get("RTSCOPE_REQUIRE_LAB") == "1" else 0
    start = time.monotonic()
    try:
        installed = packages.install()
        print(f"packages: {' '.join(installed) or 'all there'}")
        for suite in suites:
            print(f"{suite}: {engines.fetch(suite)}")
        if arguments.youki:
            print(f"youki: {engines.build_youki() or 'no cargo here'}")
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"tests.lab: {error}", file=sys.stderr)
        return 1
    print(f"ready after {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
