"""Compares text with a file beside the tests; RTSCOPE_GOLDEN=write writes it anew."""

import os

HERE = os.path.join(os.path.dirname(__file__), "golden")


def check(name: str, text: str) -> None:
    path = os.path.join(HERE, name)
    if os.environ.get("RTSCOPE_GOLDEN") == "write":
        os.makedirs(HERE, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        assert text == file.read()
