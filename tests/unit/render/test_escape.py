import pytest

from rtscope.render.escape import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text 1.0", "plain text 1.0"),
        ("größe 日本語", "größe 日本語"),
        ("a\x1b[31mred", "a\\e[31mred"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("bad\udcff\udc80byte", "bad\\xff\\x80byte"),
        ("lone\ud83d", "lone\\ud83d"),
        ("line\u2028sep\u2029", "line\\u2028sep\\u2029"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("heart\ufe0f", "heart\\ufe0f"),
        ("nbsp\xa0", "nbsp\\xa0"),
    ],
)
def test_visible_of_hostile_text_is_one_harmless_line(text, shown):
    assert visible(text) == shown


def test_visible_of_any_character_cannot_act():
    for code in range(0x110000):
        char = chr(code)
        shown = visible(char)
        assert shown.isprintable(), hex(code)


def test_visible_of_stacked_marks_is_bounded():
    assert visible("a" + "\u0301" * 50).count("\u0301") == 3
