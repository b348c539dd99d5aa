"""Takes secrets out of observations. Pure: what was removed is returned beside them.

What a credential looks like is one table of names and one of shapes; a value that only looks like
one is removed too, since nothing that rtscope concludes depends on it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rtscope.capture.removed import Removed
from rtscope.model.observation import Observation

REMOVED = "<removed>"

_NAMES = (
    r"pass(?:wd|word|phrase|code)?|pwd|secret|token|api[_.-]?key|apikey|access[_.-]?key|"
    r"private[_.-]?key|signing[_.-]?key|encryption[_.-]?key|secret[_.-]?key|account[_.-]?key|"
    r"auth(?:orization|_?token|key)?|bearer|cookie|session(?:[_.-]?id)?|credentials?|creds?|"
    r"dsn|connection[_.-]?string|conn[_.-]?str|jwt|otp|salt|pin|sas|psk|webhook|htpasswd|"
    r"license[_.-]?key|ssh[_.-]?key|pgp[_.-]?key|gpg[_.-]?key|master[_.-]?key|key"
)

_NAME = re.compile(rf"(?i)(?:^|[^a-z0-9])(?:{_NAMES})s?(?:[0-9]*)(?:$|[^a-z0-9])")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GLUED = re.compile(r"(?i)(?:password|passwd|secret|token|apikey|privatekey|credential)")

_HARMLESS_NAME = re.compile(
    r"(?i)(?:^|[./_-])(?:secret-?name|token-?ttl|key-?file|keyring|session-?affinity|"
    r"auto-?mount-?service-?account-?token|pid-?mode|key-?bindings)$"
)

_SHAPES: tuple[tuple[str, "re.Pattern[str]"], ...] = (
    ("private key", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----")),
    ("web token", re.compile(r"\beyJ[\w-]{8,4096}\.[\w-]{8,}\.[\w-]*")),
    ("AWS key", re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ABIA|ACCA)[0-9A-Z]{16}\b")),
    ("GitHub token", re.compile(r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,})")),
    ("GitLab token", re.compile(r"\bgl(?:pat|dt|rt|ft|soat|cbt|ptt)-[\w-]{16,}")),
    ("Slack token", re.compile(r"\bxox[abeoprs]-[\w-]{10,}")),
    ("Stripe key", re.compile(r"\b[rs]k_(?:live|test)_\w{10,}")),
    ("Google key", re.compile(r"\bAIza[\w-]{30,}")),
    ("npm token", re.compile(r"\bnpm_\w{30,}")),
    ("PyPI token", re.compile(r"\bpypi-[\w-]{30,}")),
    ("Docker token", re.compile(r"\bdckr_(?:pat|oat)_[\w-]{10,}")),
    ("Vault token", re.compile(r"\bhv[sbr]\.[\w-]{20,}")),
    ("age key", re.compile(r"\bAGE-SECRET-KEY-1[0-9A-Z]{20,}")),
    ("model service key", re.compile(r"\bsk-[\w-]{20,}")),
    ("SendGrid key", re.compile(r"\bSG\.[\w-]{16,64}\.[\w-]{16,}")),
    (
        "password hash",
        re.compile(r"[\w.@-]{0,64}:?\$(?:apr1|1|2[abxy]?|5|6|y|argon2\w*)\$[^\s,\"']+"),
    ),
    ("bearer token", re.compile(r"(?i)\b(?:bearer|basic)\s+[\w+/=.~-]{8,}")),
)
"""Shapes that a value itself gives away; only the part that has the shape is removed."""

_URL_LOGIN = re.compile(
    r"(?P<head>\b[a-zA-Z][\w+.-]{0,20}://[^\s/:@]{0,128}:)(?P<secret>[^\s/@]+)(?=@)"
)
_PAIR = re.compile(r"""(?<![\w.-])-{0,2}(?P<name>[A-Za-z][\w.-]{0,80})["']?\s{0,4}[=:]\s{0,4}""")
_VALUE = re.compile(r"""(?P<secret>"[^"]*"|'[^']*'|[^\s,;&"']+)""")
_FLAG = re.compile(r"^-{1,2}(?P<name>[A-Za-z][\w.-]*)$")
_FLAG_IN_TEXT = re.compile(r"""(?<!\S)-{1,2}(?P<name>[A-Za-z][\w.-]{0,80})\s{1,4}(?![\s-])""")
_SHORT_LOGIN = re.compile(r"(?P<head>(?<!\S)-u\s{1,4}[^\s:]{1,128}:)(?P<secret>\S+)")
_SHORT_PASSWORD = re.compile(r"(?P<head>(?<!\S)-p)(?P<secret>[^\s\d-]\S{2,})")
_PASSWORD_CLIENTS = re.compile(r"(?:^|[/\s])(?:mysql|mysqldump|mysqladmin|mariadb|sshpass)\b")
_HEADER = re.compile(
    r"(?i)(?P<head>\b(?:authorization|cookie|x-[\w-]{0,40}(?:key|token))\s{0,4}:\s{0,4})(?P<secret>[^\"'\n]+)"
)
_ENV_IN_TEXT = re.compile(
    r"""(?P<head>(?<!\S)(?:-e|--env)[ =]\s{0,4}[A-Za-z_]\w{0,128}=)"""
    r"""(?P<secret>"[^"]*"|'[^']*'|\S+)"""
)
_ENV_OPTION = frozenset({"-e", "--env"})

MAPPINGS = frozenset({"labels", "annotations", "options", "details", "detail", "spec"})
"""Fields of the model that hold foreign names and values."""

ARGUMENTS = frozenset({"cmdline", "args"})
TEXTS = frozenset({"command", "detail", "state_raw", "exit_reason", "name", "comm"})


def redact(
    observations: Sequence[Observation],
) -> tuple[tuple[Observation, ...], tuple[Removed, ...]]:
    """The observations without secrets, and what was removed from where."""
    removed: list[Removed] = []
    clean = tuple(_clean(one, one.source, removed) for one in observations)
    return clean, tuple(removed)


def is_secret_name(name: str) -> bool:
    """Whether what carries this name is to be kept out of sight."""
    if _HARMLESS_NAME.search(name):
        return False
    spaced = _CAMEL.sub("_", name)
    return _NAME.search(spaced) is not None or _GLUED.search(name) is not None


def clean_text(text: str, path: str = "", removed: list[Removed] | None = None) -> str:
    """The text without what looks like a credential in it."""
    reasons: list[str] = []
    clean = _without_shapes(text, reasons)
    if removed is not None:
        removed.extend(Removed(path=path, reason=reason) for reason in dict.fromkeys(reasons))
    return clean


def clean_mapping(values: Mapping[str, str], path: str, removed: list[Removed]) -> dict[str, str]:
    """Labels, annotations, options: by name first, then by shape."""
    clean: dict[str, str] = {}
    for key, value in values.items():
        if value and value != REMOVED and is_secret_name(key):
            removed.append(Removed(path=f"{path}.{key}", reason=f"name {key}"))
            clean[key] = REMOVED
        else:
            clean[key] = _clean_value(value, f"{path}.{key}", removed)
    return clean


def _clean_value(value: str, path: str, removed: list[Removed]) -> str:
    """A value that is JSON, such as a manifest kept in an annotation, is cleaned as JSON."""
    if value[:1] not in ("{", "["):
        return clean_text(value, path, removed)
    import json

    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return clean_text(value, path, removed)
    before = len(removed)
    clean = _clean_json(document, path, removed)
    return value if len(removed) == before else json.dumps(clean)


def _clean_json(value: Any, path: str, removed: list[Removed]) -> Any:
    if isinstance(value, str):
        return clean_text(value, path, removed)
    if isinstance(value, list):
        return [_clean_json(one, f"{path}[{i}]", removed) for i, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    clean: dict[str, Any] = {}
    is_variable = isinstance(value.get("name"), str) and isinstance(value.get("value"), str)
    for key, member in value.items():
        here = f"{path}.{key}"
        is_hidden = isinstance(member, str) and is_secret_name(key)
        if member != REMOVED and ((is_variable and key == "value") or is_hidden):
            removed.append(Removed(path=here, reason="value of a variable or a secret's name"))
            clean[key] = REMOVED
        else:
            clean[key] = _clean_json(member, here, removed)
    return clean


def clean_arguments(arguments: Sequence[str], path: str, removed: list[Removed]) -> tuple[str, ...]:
    """A command line: `--password=x`, `--token x`, `-e NAME=value`, `-u name:x`."""
    clean: list[str] = []
    before = ""
    is_client = bool(arguments) and _PASSWORD_CLIENTS.search(arguments[0]) is not None
    for index, argument in enumerate(arguments):
        here = f"{path}[{index}]"
        found = _after(before, argument, is_client=is_client)
        if found is None:
            clean.append(clean_text(argument, here, removed))
        else:
            head, reason = found
            if argument != head + REMOVED:
                removed.append(Removed(path=here, reason=reason))
            clean.append(head + REMOVED)
        before = argument
    return tuple(clean)


def _after(before: str, argument: str, *, is_client: bool) -> tuple[str, str] | None:
    """What of an argument stays, and why the rest goes, given the argument before it."""
    flag = _FLAG.match(before)
    if flag is not None and is_secret_name(flag["name"]) and not argument.startswith("-"):
        return "", f"value of {before}"
    if before in _ENV_OPTION and "=" in argument:
        return argument.partition("=")[0] + "=", "value of an environment variable"
    if before == "-u" and ":" in argument:
        return argument.partition(":")[0] + ":", "login after -u"
    if is_client and before == "-p":
        return "", "password after -p"
    if is_client and _SHORT_PASSWORD.match(argument):
        return "-p", "password glued to -p"
    return None


def _without_shapes(text: str, reasons: list[str]) -> str:
    if len(text) < 4:
        return text
    for reason, shape in _SHAPES:
        if shape.search(text):
            reasons.append(reason)
            text = REMOVED if reason == "private key" else shape.sub(REMOVED, text)
    text = _replaced(_URL_LOGIN, text, "login in a URL", reasons)
    text = _replaced(_HEADER, text, "header", reasons)
    text = _replaced(_SHORT_LOGIN, text, "login after -u", reasons)
    if _PASSWORD_CLIENTS.search(text):
        text = _replaced(_SHORT_PASSWORD, text, "password glued to -p", reasons)
    text = _replaced(_ENV_IN_TEXT, text, "environment variable", reasons)
    text = _without_named(_PAIR, text, reasons)
    return _without_named(_FLAG_IN_TEXT, text, reasons)


def _without_named(heads: "re.Pattern[str]", text: str, reasons: list[str]) -> str:
    """The values of secrets' names. A value may hold a pair: heads are searched, values follow."""
    parts: list[str] = []
    done = 0
    for pair in heads.finditer(text):
        if pair.end() < done or not is_secret_name(pair["name"]):
            continue
        value = _VALUE.match(text, pair.end())
        if value is not None and not _is_removed(value["secret"]):
            reasons.append(f"value of {pair['name']}")
            parts += [text[done : pair.end()], REMOVED]
            done = value.end()
    return "".join(parts) + text[done:] if parts else text


def _is_removed(value: str) -> bool:
    return value.strip("\"'") in ("", REMOVED)


def _replaced(pattern: "re.Pattern[str]", text: str, reason: str, reasons: list[str]) -> str:
    def blank(match: "re.Match[str]") -> str:
        if _is_removed(match["secret"]):
            return match[0]
        reasons.append(reason)
        return match["head"] + REMOVED

    return pattern.sub(blank, text)


def _clean(value: Any, path: str, removed: list[Removed]) -> Any:
    """A record with its foreign texts cleaned, and everything that it holds."""
    changes: dict[str, Any] = {}
    for field in fields(value):
        member = getattr(value, field.name)
        fresh = _clean_member(field.name, member, f"{path}.{field.name}", removed)
        if fresh is not member:
            changes[field.name] = fresh
    return replace(value, **changes) if changes else value


def _clean_member(name: str, member: Any, path: str, removed: list[Removed]) -> Any:
    if isinstance(member, Mapping):
        clean = clean_mapping(member, path, removed)
        return member if clean == member else clean
    if isinstance(member, str) and not isinstance(member, Enum) and name in TEXTS:
        return clean_text(member, path, removed)
    if isinstance(member, tuple) and member:
        if name in ARGUMENTS:
            clean_args = clean_arguments(member, path, removed)
            return member if clean_args == member else clean_args
        if is_dataclass(member[0]):
            parts = tuple(
                _clean(one, f"{path}[{_name_of(one, i)}]", removed) for i, one in enumerate(member)
            )
            same = all(a is b for a, b in zip(parts, member, strict=True))
            return member if same else parts
        return member
    if is_dataclass(member) and not isinstance(member, type):
        return _clean(member, path, removed)
    return member


def _name_of(record: Any, index: int) -> str:
    ref = getattr(record, "ref", None)
    key = getattr(record, "key", None)
    if ref is not None:
        return str(ref.id)
    return str(index) if key is None else str(key.pid)
