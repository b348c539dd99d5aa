"""Times the join on generated nodes: python -m bench.join [300 2000]."""

import statistics
import sys
import time

from rtscope.correlate.join import join
from tests.generate import generated_observations


def main() -> int:
    for size in [int(a) for a in sys.argv[1:]] or [300, 2000]:
        observations = generated_observations(size)
        previous, seconds = None, []
        for _ in range(9):
            start = time.perf_counter()
            previous = join(observations, previous)
            seconds.append(time.perf_counter() - start)
        rows = len(previous.containers) if previous else 0
        print(f"{size} containers, {rows} rows: {statistics.median(seconds) * 1000:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
