import shutil
import subprocess
import sys

import pytest

from rtscope.cli import COMMANDS
from tests.unit.cli.seams import result

SHELLS = ("bash", "zsh", "fish")


@pytest.mark.parametrize("shell", SHELLS)
def test_script_knows_every_verb_and_the_flags(capsys, shell):
    code, out, _ = result(capsys, "completion", shell)
    assert code == 0
    assert all(verb in out for verb, _ in COMMANDS)
    assert "all-runtimes" in out
    assert "host-root" in out


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_understood_by_its_shell(capsys, shell):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = result(capsys, "completion", shell)[1]
    check = subprocess.run(
        [program, "-n"], input=script, text=True, capture_output=True, timeout=60
    )
    assert check.returncode == 0, check.stderr


def test_bash_completes_a_verb(capsys):
    script = result(capsys, "completion", "bash")[1]
    probe = (
        f"{script}\nCOMP_WORDS=(rtscope so)\nCOMP_CWORD=1\nCOMP_LINE='rtscope so'\nCOMP_POINT=10\n"
        "f=$(complete -p rtscope | sed -E 's/.*-F ([^ ]+).*/\\1/')\n$f rtscope so rtscope\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc"], input=probe, text=True, capture_output=True, timeout=60
    )
    assert done.stdout.split() == ["sources"], done.stderr


def test_unknown_shell_is_a_usage_error(capsys):
    assert result(capsys, "completion", "csh")[0] == 2
    assert result(capsys, "completion")[0] == 2


def test_manual_page_is_current():
    done = subprocess.run(
        [sys.executable, "docs/make_man.py", "--check"], capture_output=True, timeout=60
    )
    assert done.returncode == 0, "run: python docs/make_man.py"


def test_manual_page_is_understood_by_man():
    program = shutil.which("man")
    if program is None:
        pytest.skip("man is not installed")
    done = subprocess.run(
        [program, "--warnings", "-l", "docs/rtscope.1"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0
    assert "EXIT STATUS" in done.stdout
    assert done.stderr == ""
