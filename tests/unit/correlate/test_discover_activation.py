"""A listener that the first process of a node holds, for real: in a pid namespace of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_FIRST = """
import json, os, socket, subprocess, sys
path, root = sys.argv[1:3]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(8)
listener.setblocking(False)
assert os.getpid() == 1
child = subprocess.run([sys.executable, "-c", sys.argv[3], path], cwd=root, stdout=subprocess.PIPE)
try:
    listener.accept()
    accepted = True
except BlockingIOError:
    accepted = False
print(json.dumps({"accepted": accepted, "endpoint": json.loads(child.stdout)}))
"""

_READER = """
import json, sys
from rtscope.config.settings import Settings
from rtscope.correlate.collect import collect
host = "docker://" + sys.argv[1]
for observation in collect(Settings(hosts=(host,), engines=("docker",))):
    endpoint = observation.endpoint
    if endpoint.is_named:
        print(json.dumps([endpoint.state, endpoint.skip_detail, endpoint.queue]))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="makes a pid namespace"
)
def test_what_the_first_process_holds_is_not_connected_to(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(tmp_path_factory.mktemp("s") / "docker.sock")
    root = str(Path(__file__).parents[3])
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable]
    done = subprocess.run(
        [*command, "-c", _FIRST, path, root, _READER],
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no pid namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    state, why, queue = answer["endpoint"]
    assert not answer["accepted"]
    assert (state, queue) == ("inactive", 0)
    assert "held by pid 1 alone" in why
