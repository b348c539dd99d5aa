"""What is typed after `/`: words over any field, KEY=VALUE as in `ps --filter`, regex, `!` inverse.

Words that are separated by spaces must all hold.
"""

import re
from collections.abc import Callable

from rtscope.errors import UsageError
from rtscope.model.facts import fact
from rtscope.model.inventory import Container
from rtscope.render.filters import KEYS, matches, parse_filter
from rtscope.render.words import layers_text, state_text

_REGEX_SIGNS = frozenset(r"^$*+?[](){}|\\")

Test = Callable[[Container], bool]


@fact
class Term:
    """One word of a filter.

    Attributes:
        is_inverse: It began with `!`.
        pair: `KEY=VALUE` in the form of `ps --filter`; None for a free word.
        trouble: Why it cannot be used; it hides nothing then.
    """

    text: str
    is_inverse: bool = False
    pair: str | None = None
    trouble: str | None = None


def terms(text: str) -> tuple[Term, ...]:
    """The words of a filter, each understood or with the reason why not."""
    return tuple(_term(word) for word in text.split())


def _term(word: str) -> Term:
    is_inverse = word.startswith("!") and len(word) > 1
    plain = word[1:] if is_inverse else word
    key, equals, _ = plain.partition("=")
    if equals and key.lower() in (*KEYS, "status", "ancestor", "uid"):
        try:
            parse_filter(plain)
        except UsageError as error:
            return Term(text=plain, is_inverse=is_inverse, trouble=error.message)
        return Term(text=plain, is_inverse=is_inverse, pair=plain)
    return Term(text=plain, is_inverse=is_inverse)


def test_of(text: str) -> Test | None:
    """Whether a container passes; None where everything does."""
    tests = [_test(term) for term in terms(text) if term.trouble is None]
    if not tests:
        return None
    return lambda container: all(test(container) for test in tests)


def _test(term: Term) -> Test:
    inner = _pair_test(term.pair) if term.pair is not None else _word_test(term.text)
    return (lambda c: not inner(c)) if term.is_inverse else inner


def _pair_test(pair: str) -> Test:
    one = parse_filter(pair)

    def test(container: Container) -> bool:
        try:
            return matches(container, (one,))
        except UsageError:  # a user that this node does not know
            return False

    return test


def _word_test(word: str) -> Test:
    if _REGEX_SIGNS & set(word):
        try:
            pattern = re.compile(word, re.IGNORECASE | re.MULTILINE)
        except re.error:
            pass
        else:
            return lambda c: pattern.search(haystack(c)) is not None
    folded = word.casefold()
    return lambda c: folded in haystack(c).casefold()


def haystack(container: Container) -> str:
    """Everything of a container that a person may look for, one field a line."""
    pod = container.pod
    parts = [
        container.name,
        container.id,
        container.image_ref,
        container.engine.value,
        state_text(container),
        layers_text(container),
        container.namespace,
        container.oci_runtime,
        container.command,
        container.health,
        container.problem,
        container.cgroup_path,
        container.bundle_dir,
        None if container.pid is None else str(container.pid),
        None if container.shim_pid is None else str(container.shim_pid),
        None if pod is None else f"{pod.namespace}/{pod.name}",
        *(f"{key}={value}" for key, value in container.labels.items()),
    ]
    return "\n".join(part for part in parts if part)
