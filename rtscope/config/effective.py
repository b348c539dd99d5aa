"""One run's settings out of flags, environment and files, and where each value came from.

Flags beat the environment, the environment beats files, the user's file beats the system's. Two
things add up instead: sockets and roots, which every file may add to, and `read_only`, which nobody
can take back.
"""

import os
from collections.abc import Mapping
from typing import Any

from rtscope.config.deadlines import DEFAULT_VERB_S, LONGEST_TIMEOUT_S, REFRESH_S, Deadlines
from rtscope.config.durations import parse_duration
from rtscope.config.env import HOST_ROOT, client_environ, user_file
from rtscope.config.file import SYSTEM_FILE, ConfigFile, read_config
from rtscope.config.settings import Settings
from rtscope.errors import UsageError
from rtscope.model.facts import fact, field

DEFAULT = "default"


@fact
class Setting:
    """One value and what set it.

    Attributes:
        source: `default`, a flag, a variable, or `FILE:LINE`.
    """

    key: str
    value: Any
    source: str


@fact
class Effective:
    """Everything that was configured.

    Attributes:
        columns: For `ps`; None is its own choice.
        keys: ACTION -> key of the view.
        values: Each value with its source, in a fixed order: what `rtscope config` shows.
        files: The configuration files that were read; ignored: one that was not, and why.
    """

    settings: Settings
    columns: tuple[str, ...] | None = None
    color: str = "auto"
    is_read_only: bool = False
    refresh_s: float = REFRESH_S
    theme: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    values: tuple[Setting, ...] = ()
    files: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def load_settings(
    args: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    euid: int | None = None,
    system_file: str = SYSTEM_FILE,
) -> Effective:
    """The effective configuration of one run.

    Args:
        args: Flags by the name of their destination: `timeout host host_root engines columns color
            nested activate read_only all_runtimes`. What is missing, None, False or empty was not
            given.
        environ: The process's environment.
        euid: The reader's user.
        system_file: The file that root's policy stands in.

    Raises:
        UsageError: a value or a file is not understood.
    """
    uid = os.geteuid() if euid is None else euid
    own = user_file(environ, uid)
    read = [read_config(system_file, must_be_roots=True)]
    read += [read_config(own)] if own is not None else []
    files = [file for file in read if file is not None]
    choice = _Choice(args, environ, files)
    return Effective(
        settings=_settings(choice, environ, uid),
        columns=choice.flagged("columns", None),
        color=choice.color(),
        is_read_only=choice.read_only(),
        refresh_s=choice.flagged("tui.refresh", REFRESH_S, flag="refresh"),
        theme=choice.flagged("tui.theme", None, flag="theme"),
        keys=choice.merged("tui.keys", one=True),
        values=tuple(choice.values),
        files=tuple(file.path for file in files),
        ignored=_ignored(environ, own),
    )


def _settings(choice: "_Choice", environ: Mapping[str, str], euid: int) -> Settings:
    timeout = choice.timeout()
    return Settings(
        hosts=tuple(choice.flagged("hosts", (), flag="host")),
        host_root=choice.host_root(),
        engines=choice.engines(),
        sockets=choice.merged("sockets"),
        roots=choice.merged("roots"),
        is_nested=choice.flagged("nested", False),
        may_activate=choice.flagged("activate", False),
        deadlines=Deadlines() if timeout == DEFAULT_VERB_S else Deadlines().scaled_to(timeout),
        environ=client_environ(environ, euid),
    )


def _ignored(environ: Mapping[str, str], own: str | None) -> tuple[str, ...]:
    """The user's file where it exists and root does not load it."""
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    path = f"{base}/rtscope/rtscope.toml"
    return (path,) if own is None and base.startswith("/") and os.path.exists(path) else ()


class _Choice:
    """Picks each value's strongest source and notes it."""

    def __init__(
        self, args: Mapping[str, Any], environ: Mapping[str, str], files: list[ConfigFile]
    ) -> None:
        self._args = args
        self._environ = environ
        self._files = files
        self.values: list[Setting] = []

    def flagged(self, key: str, default: Any, *, flag: str | None = None) -> Any:
        """A flag, else the strongest file, else the default."""
        name = flag or key
        given = self._args.get(name)
        if given not in (None, False, (), [], ""):
            return self._note(key, given, f"--{name.replace('_', '-')}")
        return self._from_files(key, default)

    def timeout(self) -> float:
        """Seconds that a reading verb may take."""
        given = self._args.get("timeout")
        if given is None:
            return float(self._from_files("timeout", DEFAULT_VERB_S))
        seconds = parse_duration(str(given))
        if seconds <= 0:
            raise UsageError(f"--timeout {given}: must be more than 0")
        if seconds > LONGEST_TIMEOUT_S:
            raise UsageError(f"--timeout {given}: must be at most a day")
        return float(self._note("timeout", seconds, "--timeout"))

    def host_root(self) -> str:
        """Where the node's file systems are."""
        given = self._args.get("host_root")
        if given:
            return str(self._note("host_root", given, "--host-root"))
        if self._environ.get(HOST_ROOT):
            return str(self._note("host_root", self._environ[HOST_ROOT], HOST_ROOT))
        return str(self._note("host_root", "/", DEFAULT))

    def engines(self) -> tuple[str, ...] | None:
        """The narrowing; every engine where the flag for all was given."""
        if self._args.get("all_runtimes"):
            self._note("engines", None, "--all-runtimes")
            return None
        chosen = self.flagged("engines", None)
        return None if chosen is None else tuple(chosen)

    def color(self) -> str:
        """The flag, else NO_COLOR, else files. Source: no-color.org."""
        given = self._args.get("color")
        if given not in (None, "", "auto"):
            return str(self._note("color", given, "--color"))
        if self._environ.get("NO_COLOR"):
            return str(self._note("color", "never", "NO_COLOR"))
        return str(self._from_files("color", "auto"))

    def read_only(self) -> bool:
        """True as soon as anybody says so."""
        for file in self._files:
            if file.values.get("read_only"):
                return bool(self._note("read_only", True, _where(file, "read_only")))
        if self._args.get("read_only"):
            return bool(self._note("read_only", True, "--read-only"))
        return bool(self._note("read_only", False, DEFAULT))

    def merged(self, table: str, *, one: bool = False) -> dict[str, Any]:
        """A table whose lists add up over the files; with `one`, the later file wins."""
        found: dict[str, Any] = {}
        for file in self._files:
            for key, value in file.values.items():
                if not key.startswith(f"{table}."):
                    continue
                name = key[len(table) + 1 :]
                is_list = not one and name in found
                found[name] = tuple(dict.fromkeys((*found[name], *value))) if is_list else value
                self._note(key, value, _where(file, key))
        return found

    def _from_files(self, key: str, default: Any) -> Any:
        for file in reversed(self._files):
            if key in file.values:
                return self._note(key, file.values[key], _where(file, key))
        return self._note(key, default, DEFAULT)

    def _note(self, key: str, value: Any, source: str) -> Any:
        self.values.append(Setting(key=key, value=value, source=source))
        return value


def _where(file: ConfigFile, key: str) -> str:
    line = file.lines.get(key, 0)
    return f"{file.path}:{line}" if line else file.path
