"""List the containers of every engine, one row each.

Listed are running, paused and restarting ones, those whose state is unknown, and whatever has a
problem; -a lists every state. --all-runtimes adds what belongs to no engine: bare OCI containers,
orphans, other users' rootless ones, those inside containers. Problems stand first, then what
changed last.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime

from rtscope.cli.flags import add_common, add_watch
from rtscope.cli.formats import Format, data_text, format_of
from rtscope.cli.reading import Reading, engines_of, exit_code, reading_of, say_notes
from rtscope.cli.terminal import note, paper_of, write
from rtscope.errors import UsageError
from rtscope.model.inventory import Container, Inventory
from rtscope.render.column import Column
from rtscope.render.columns import (
    BY_KEY,
    COLUMNS,
    DEFAULT,
    WIDE,
    chosen,
    column,
    context_of,
    needs_of,
)
from rtscope.render.document import ps_document
from rtscope.render.filters import parse_filter
from rtscope.render.notes import recording_note, where_it_looked
from rtscope.render.select import Selection, hidden_origins, select
from rtscope.render.selector import HELP, exact_selectors
from rtscope.render.text import Paper, table
from rtscope.render.units import parse_instant
from rtscope.render.words import LEGEND

LISTS = {"containers": "container"}


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `ps`."""
    parser.epilog = f"columns: {', '.join(BY_KEY)}\n\n{LEGEND}"
    parser.add_argument("selectors", metavar="SELECTOR", nargs="*", help=HELP)
    parser.add_argument("-a", "--all", action="store_true", help="every state")
    parser.add_argument("-q", "--quiet", action="store_true", help="only selectors, one a line")
    parser.add_argument("--all-runtimes", action="store_true", help="every origin")
    parser.add_argument("--sandboxes", action="store_true", help="pause containers too")
    parser.add_argument("--problems", action="store_true", help="only what is wrong or unknown")
    parser.add_argument("--since", metavar="TIME", help="started or ended since 10m, or RFC 3339")
    parser.add_argument("--last", metavar="N", type=int, help="the newest N, in any state")
    parser.add_argument("--columns", metavar="LIST", help="a,b: these; +a,-b: the usual, changed")
    parser.add_argument("--no-header", action="store_true", help="rows only")
    add_watch(parser)
    add_common(parser, short=True)


def run(args: Namespace) -> int:
    """Reads the node once, or again and again."""
    form = format_of(args)
    if args.sort is not None:
        column(args.sort.removeprefix("-"))
    selection_of(args)
    columns = chosen(WIDE if form.name == "wide" else DEFAULT, args.columns)
    reading = reading_of(args, _needs(form, columns, args))
    if args.columns is None and form.name == "table" and reading.effective.columns:
        columns = chosen(DEFAULT, ",".join(reading.effective.columns))
        reading.needs = _needs(form, columns, args)
    if args.watch:
        return _watched(reading, form, columns, args)
    inventory = reading.take()
    selection = selection_of(args, reading)
    rows = select(inventory, selection)
    write(_text(inventory, rows, form, columns, args))
    say_notes(inventory, args)
    _say_hidden(inventory, rows, selection, args)
    return exit_code(inventory, args)


def _watched(reading: Reading, form: Format, columns: Sequence[Column], args: Namespace) -> int:
    from rtscope.cli.watch import interval_s, watch

    reading.is_repeated = True

    def draw() -> str:
        inventory = reading.take()
        rows = select(inventory, selection_of(args, reading))
        text = _text(inventory, rows, form, columns, args)
        return text if form.is_data or args.quiet else f"{_round_head(inventory, rows)}\n{text}"

    watch(draw, interval_s(args))
    return exit_code(reading.previous, args) if reading.previous is not None else 0


def _round_head(inventory: Inventory, rows: Sequence[Container]) -> str:
    from rtscope.render.escape import visible
    from rtscope.render.units import instant_text

    problems = sum(1 for row in rows if row.has_problem)
    at = instant_text(inventory.taken_at, is_utc=False)
    return f"{visible(inventory.node.hostname)}  {at}  {len(rows)} containers, {problems} problems"


def _needs(form: Format, columns: Sequence[Column], args: Namespace) -> frozenset[str]:
    """What a cheap list lacks and this output shows."""
    needs = needs_of(COLUMNS if form.is_data else columns)
    if args.since is not None or args.sort is not None:
        needs |= {"finished_at"}
    if form.name == "name" or args.quiet:
        return frozenset(need for need in needs if args.since is not None)
    return needs


def selection_of(args: Namespace, reading: Reading | None = None) -> Selection:
    """What the flags select; a span such as `--since 10m` ends now.

    A configuration file's `engines` narrow the list too, unless `--all-runtimes` is given.

    Raises:
        UsageError: a filter or a time is not understood.
    """
    if args.last is not None and args.last < 1:
        raise UsageError(f"--last {args.last}: at least 1")
    now = datetime.now(UTC)
    return Selection(
        is_all=args.all,
        is_every_origin=args.all_runtimes,
        has_sandboxes=args.sandboxes,
        only_problems=args.problems,
        filters=tuple(map(parse_filter, args.filter)),
        namespaces=tuple(args.namespace),
        pod_namespaces=tuple(args.pod_namespace),
        engines=engines_of(args),
        narrowed=() if engines_of(args) or reading is None else reading.narrowing,
        runtimes=tuple(args.runtime),
        since=None if args.since is None else parse_instant(args.since, now),
        selectors=tuple(args.selectors),
        last=args.last,
        own_uid=os.geteuid(),
        sort=args.sort,
    )


def _text(
    inventory: Inventory,
    rows: Sequence[Container],
    form: Format,
    columns: Sequence[Column],
    args: Namespace,
) -> str:
    paper = paper_of(args.color, is_full=args.no_trunc)
    if args.quiet:
        return _quiet(inventory, rows, is_full=args.no_trunc)
    if form.name == "name":
        return _names(inventory, rows)
    if form.is_data:
        return data_text(form, ps_document(inventory, rows), LISTS, paper)
    lines = table_lines(inventory, rows, columns, paper, is_utc=args.utc)
    recording = recording_note(inventory, args.from_file or "")
    head = [f"# {recording}"] if recording else []
    return "".join(line + "\n" for line in (lines[1:] if args.no_header else head + lines))


def table_lines(
    inventory: Inventory,
    rows: Sequence[Container],
    columns: Sequence[Column],
    paper: Paper,
    *,
    is_utc: bool = False,
) -> list[str]:
    """The table of these rows, header first."""
    context = context_of(
        inventory.containers, inventory.taken_at, is_full=paper.is_full, is_utc=is_utc
    )
    cells = [[column.drawn(row, context) for column in columns] for row in rows]
    return table([column.shape for column in columns], cells, paper)


def _quiet(inventory: Inventory, rows: Sequence[Container], *, is_full: bool) -> str:
    from rtscope.render.escape import visible

    selectors = exact_selectors(inventory.containers)
    words = (_whole(row, selectors[row.key]) if is_full else selectors[row.key] for row in rows)
    return "".join(visible(word) + "\n" for word in words)


def _whole(row: Container, selector: str) -> str:
    """The complete id, unless only another selector tells it from its namesakes."""
    return row.id if row.id.startswith(selector) else selector


def _names(inventory: Inventory, rows: Sequence[Container]) -> str:
    """As kubectl's `-o name`: `ENGINE/NAME`, or the id where it has no name."""
    from rtscope.render.escape import visible

    return "".join(visible(f"{row.engine.value}/{row.name or row.id}") + "\n" for row in rows)


def _say_hidden(
    inventory: Inventory, rows: Sequence[Container], selection: Selection, args: Namespace
) -> None:
    if selection.narrowed:
        note(f"only {', '.join(selection.narrowed)}, as configured: --all-runtimes lists all")
    hidden = hidden_origins(inventory, selection)
    if hidden:
        note(
            f"{hidden} more not shown, belonging to no engine, to another user or inside a"
            " container: --all-runtimes"
        )
    if rows:
        return
    if inventory.containers and not selection.is_all:
        note(f"no container matches; {len(inventory.containers)} known in all: -a --all-runtimes")
    note(where_it_looked(inventory))
