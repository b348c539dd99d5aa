"""Show every endpoint of the node: how it was found, how it answered, what it could not say.

Below the table: sentences that follow the chain from daemon to process and name the link that
does not answer. States: ok, slow, silent (no answer in time), stopped (its process is in state T),
blocked (in state D), dead (a path that nobody listens on), denied, absent, inactive (connecting
would start it), malformed.
"""

from argparse import ArgumentParser, Namespace

from rtscope.cli.flags import add_common
from rtscope.cli.formats import data_text, format_of
from rtscope.cli.reading import exit_code, reading_of, say_notes
from rtscope.cli.terminal import note, paper_of, write
from rtscope.model.inventory import Inventory
from rtscope.render.document import sources_document
from rtscope.render.escape import visible
from rtscope.render.notes import recording_note, where_it_looked
from rtscope.render.sources import COLUMNS, cells, chains, in_order
from rtscope.render.text import Paper, table

LISTS = {"sources": "source", "chains": "chain"}


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `sources`."""
    add_common(parser)


def run(args: Namespace) -> int:
    """Reads the node and shows who said what."""
    form = format_of(args)
    inventory = reading_of(args).take()
    paper = paper_of(args.color, is_full=args.no_trunc)
    if form.is_data:
        write(data_text(form, sources_document(inventory, chains(inventory)), LISTS, paper))
    elif form.name == "name":
        write("".join(visible(e.source) + "\n" for e in in_order(inventory.endpoints)))
    else:
        recording = recording_note(inventory, args.from_file or "")
        lines = [f"# {recording}"] if recording else []
        lines += source_lines(inventory, paper, is_wide=form.name == "wide")
        write("".join(line + "\n" for line in lines))
    say_notes(inventory, args)
    if not inventory.endpoints:
        note(where_it_looked(inventory))
    return exit_code(inventory, args)


def source_lines(inventory: Inventory, paper: Paper, *, is_wide: bool = False) -> list[str]:
    """The table, and the sentences below it."""
    shown = [column for column in COLUMNS if is_wide or not column.is_wide]
    rows = cells(in_order(inventory.endpoints), shown)
    lines = table([column.shape for column in shown], rows, paper)
    told = chains(inventory, arrow="→" if paper.is_unicode else "->")
    return [*lines, "", *told] if told else lines
