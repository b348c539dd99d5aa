"""A node with systemd, cgroup v2 and journald, in emulation: what most users have.

`python -m tests.lab.vm build` makes it once (packages, disk, first boot, seed, snapshot of memory
and disk, all under VM_DIR); `Machine()` starts from the snapshot in seconds. Emulation is 8 to 20
times slower than the host, so nothing in it is timed.
"""

import os

VM_DIR = os.environ.get("RTSCOPE_VM_DIR", "/var/tmp/rtscope-lab/vm")
SUITE = "forky"
MEMORY_MB = 2048
CPUS = 2
