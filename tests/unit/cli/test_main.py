import json
import os
import signal
import subprocess
import sys

import pytest

from rtscope import __version__
from rtscope.cli import COMMANDS
from tests.unit.cli.seams import result, use
from tests.unit.render import schemas
from tests.unit.render.build import container, inventory


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "rtscope", *words],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_version_of_every_spelling(capsys):
    for word in ("--version", "-V"):
        assert result(capsys, word) == (0, f"rtscope {__version__}\n", "")
    code, out, _ = result(capsys, "version", "-o", "json")
    document = json.loads(out)
    schemas.validate("version", document)
    assert (code, document["rtscope"]) == (0, __version__)
    assert result(capsys, "version")[1].startswith(f"rtscope {__version__}\n")


def test_help_lists_exactly_the_verbs(capsys):
    code, out, _ = result(capsys, "--help")
    assert code == 0
    assert all(f"  {verb} " in out for verb, _ in COMMANDS)


@pytest.mark.parametrize("verb", [verb for verb, _ in COMMANDS])
def test_every_verb_has_help(capsys, verb):
    code, out, err = result(capsys, verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: rtscope {verb}")
    assert out.isascii()


@pytest.mark.parametrize("words", [("nope",), ("ps", "--nope"), ("--nope",), ("observe",)])
def test_wrong_command_line_is_2(capsys, words):
    code, out, err = result(capsys, *words)
    assert (code, out) == (2, "")
    assert "--help" in err


def test_flag_before_the_verb_counts(monkeypatch, capsys):
    use(monkeypatch, inventory([container(1)]))
    assert json.loads(result(capsys, "-o", "json", "ps")[1])["containers"]
    assert json.loads(result(capsys, "--output=json", "ps", "--utc")[1])["containers"]


def test_without_a_verb_a_pipe_gets_the_list(monkeypatch, capsys):
    use(monkeypatch, inventory([container(1)]))
    assert "web-1" in result(capsys)[1]
    assert json.loads(result(capsys, "-o", "json")[1])["containers"]


def test_process_ends_although_a_thread_is_stuck(tmp_path):
    script = (
        "import threading, sys\n"
        "from rtscope import cli\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "cli.main(['--version'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"rtscope {__version__}\n")


def test_module_runs_without_home_and_with_few_descriptors():
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n 64; exec {sys.executable} -m rtscope ps --help"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: rtscope ps")


def test_full_disk_is_said_in_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rtscope", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 5
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_closed_pipe_is_141():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "rtscope", "ps", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_stdout_and_stderr_do_not_crash():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m rtscope ps --nope >&- 2>&-"], timeout=60
    )
    assert done.returncode == 2


WAITING = (
    "import sys\n"
    "from rtscope import cli\n"
    "from rtscope.cli.reading import Reading\n"
    "import threading\n"
    "def wait(self):\n"
    "    print('waiting', flush=True)\n"
    "    threading.Event().wait(60)\n"
    "Reading.observations = wait\n"
    "cli.main(['ps'])\n"
)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)]
)
def test_signal_ends_a_reading_at_once_and_quietly(number, code):
    child = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(number)
        assert child.wait(timeout=60) == code
        assert child.stderr.read() == ""


def test_oom_killer_is_offered_the_process():
    script = (
        "import os\n"
        "from rtscope import cli\n"
        "os._exit = lambda code: print(open('/proc/self/oom_score_adj').read())\n"
        "cli.main(['ps', '--help'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split()[-1] == "1000"


def test_bytecode_is_not_written(tmp_path):
    done = process("--help", env={**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)})
    assert done.returncode == 0
    written = [name for _, _, names in os.walk(tmp_path) for name in names]
    assert all("rtscope/cli/parser" not in name for name in written)
