"""Feeds every parser for a while: python -m tests.fuzz --seconds 60 [--only NAME] [--seed N].

A new crash is kept below tests/fuzz/corpus/NAME and ends the run with 1.
"""

import argparse
import hashlib
import os
import random
import sys
import time
import traceback

from tests.fuzz.mutate import BYTES, WORDS, edited
from tests.fuzz.targets import TARGETS, close_all, corpus_of, directory_of

KINDS = (
    "value",
    "value",
    "value",
    "token",
    "token",
    "token",
    "insert",
    "cut",
    "drop",
    "repeat",
    "flip",
)


def one_input(seeds: tuple[bytes, ...], chance: random.Random) -> bytes:
    edits = [
        (chance.choice(KINDS), chance.randrange(100_000), chance.choice(WORDS + BYTES))
        for _ in range(chance.randint(1, 6))
    ]
    return edited(chance.choice(seeds), edits)


def keep(name: str, data: bytes) -> str:
    path = os.path.join(directory_of(name), "crash-" + hashlib.sha256(data).hexdigest()[:12])
    with open(path, "wb") as kept:
        kept.write(data)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=sorted(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    names = args.only or list(TARGETS)
    crashes = total = 0
    for name in names:
        seeds, chance = corpus_of(name), random.Random(f"{args.seed}/{name}")
        end, count = time.monotonic() + args.seconds / len(names), 0
        while time.monotonic() < end:
            data = one_input(seeds, chance)
            count += 1
            try:
                TARGETS[name].check(data)
            except Exception:  # noqa: BLE001  # whatever it is, it is a crash
                traceback.print_exc(limit=-4)
                print(f"{name}: kept as {keep(name, data)}", flush=True)
                crashes += 1
                break
        total += count
        print(f"{name}: {count} inputs", flush=True)
    close_all()
    print(f"{total} inputs, {crashes} crashes")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
