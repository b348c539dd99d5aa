"""Pictures of every view, made from one node: SVG by Textual, PNG by rsvg-convert where it is.

python screenshots/take.py [DIRECTORY]
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
os.environ.pop("NO_COLOR", None)

from rtscope.tui.app import RtscopeApp  # noqa: E402  # after the environment is set
from rtscope.tui.layout import Layout  # noqa: E402
from rtscope.tui.log import Log  # noqa: E402
from tests.tui.nodes import inventory_of, sick_observations  # noqa: E402

SIZES = ((80, 24), (120, 40), (200, 60))
_CELL = 12.2
"""Width of a cell in Textual's SVG."""

SHOTS: dict[str, tuple[str, ...]] = {
    "containers": (),
    "groups": ("a", "o"),
    "filter": ("slash", *"prod"),
    "command": ("colon", "s", "o"),
    "tree": ("2",),
    "sources": ("3",),
    "source": ("3", "enter"),
    "chain": ("enter",),
    "processes": ("j", "j", "j", "j", "enter", "right_square_bracket"),
    "help": ("question_mark",),
    "light": ("colon", *"theme rtscope-light", "enter"),
    "contrast": ("colon", *"theme rtscope-contrast", "enter"),
}
"""Name of a picture -> keys that lead to it."""

_TEXT = re.compile(r'<text ([^>]*?)x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"([^>]*)>([^<]*)<')


def placed(svg: str) -> str:
    """The picture with spaces at the edges of a text as distance: some renderers drop them."""

    def place(match: "re.Match[str]") -> str:
        before, x, y, length, after, text = match.groups()
        body = text.replace("&#160;", "\xa0")
        left = len(body) - len(body.lstrip("\xa0"))
        bare = body.strip("\xa0")
        cells = round(float(length) / _CELL)
        shown = cells - (len(body) - len(bare))
        start = float(x) + left * _CELL
        return (
            f'<text {before}x="{start:.1f}" y="{y}" textLength="{shown * _CELL:.1f}"{after}>'
            f"{bare.replace(chr(160), '&#160;')}<"
        )

    return _TEXT.sub(place, svg)


async def take(keys: Sequence[str], size: tuple[int, int], path: str) -> None:
    app = RtscopeApp(
        None,
        log=Log(os.devnull),
        layout=Layout(is_seen=True),
        inventory=inventory_of(sick_observations(120)),
        mode="replay node-7.json",
    )
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press({" ": "space", "-": "minus"}.get(key, key))
        await pilot.pause()
        svg = placed(app.export_screenshot(title="rtscope"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg)
    painter = shutil.which("rsvg-convert")
    if painter is not None:
        target = f"{path.removesuffix('.svg')}.png"
        subprocess.run([painter, "-o", target, path], check=True)


def main(argv: Sequence[str]) -> int:
    folder = argv[0] if argv else os.path.join(ROOT, "screenshots")
    os.makedirs(folder, exist_ok=True)
    only = set(argv[1:])
    for name, keys in SHOTS.items():
        for size in SIZES:
            label = f"{name}-{size[0]}x{size[1]}"
            if not only or name in only or label in only:
                asyncio.run(take(keys, size, os.path.join(folder, f"{label}.svg")))
                print(label)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
