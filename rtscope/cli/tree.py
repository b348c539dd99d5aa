"""Draw the chain from daemon to process.

daemon, namespace or pod, container, task, shim, OCI runtime, processes: each with its pid and
state, and with what is wrong where two layers disagree or one did not answer. With a selector, the
chain of that container alone.
"""

from argparse import ArgumentParser, Namespace

from rtscope.cli.flags import add_common
from rtscope.cli.formats import data_text, format_of
from rtscope.cli.reading import engines_of, exit_code, reading_of, say_notes
from rtscope.cli.terminal import note, paper_of, write
from rtscope.correlate.nodes import TreeNode
from rtscope.errors import UsageError
from rtscope.model.inventory import Inventory
from rtscope.render.document import tree_document
from rtscope.render.notes import recording_note, where_it_looked
from rtscope.render.select import Selection, select
from rtscope.render.selector import HELP
from rtscope.render.tree import prune, to_depth, tree_lines, without_processes

LISTS = {"nodes": "node", "roots": "root"}


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `tree`."""
    parser.add_argument("selectors", metavar="SELECTOR", nargs="*", help=HELP)
    parser.add_argument("--depth", metavar="N", type=int, help="levels below the node")
    parser.add_argument("--no-processes", action="store_true", help="down to the OCI runtime")
    parser.add_argument("--problems", action="store_true", help="only what is wrong or unknown")
    add_common(parser)


def run(args: Namespace) -> int:
    """Reads the node and draws it."""
    form = format_of(args, ("table", "wide", "json", "jsonl", "yaml", "jsonpath"))
    if args.depth is not None and args.depth < 0:
        raise UsageError(f"--depth {args.depth}: at least 0")
    inventory = reading_of(args).take()
    nodes = nodes_of(inventory, args)
    paper = paper_of(args.color, is_full=args.no_trunc or form.name == "wide")
    if form.is_data:
        write(data_text(form, tree_document(inventory, nodes), LISTS, paper))
    else:
        recording = recording_note(inventory, args.from_file or "")
        lines = [f"# {recording}"] if recording else []
        write("".join(line + "\n" for line in lines + tree_lines(nodes, paper)))
    say_notes(inventory, args)
    if not inventory.containers:
        note(where_it_looked(inventory))
    return exit_code(inventory, args)


def nodes_of(inventory: Inventory, args: Namespace) -> list[TreeNode]:
    """The nodes that the flags ask for, in the order to draw.

    Raises:
        NotFoundError: a selector names nothing, or several.
    """
    from rtscope.correlate.chain import tree

    nodes: list[TreeNode] = list(tree(inventory))
    if _narrows(args):
        from rtscope.render.filters import parse_filter

        selection = Selection(
            is_all=True,
            is_every_origin=True,
            has_sandboxes=True,
            only_problems=args.problems,
            filters=tuple(map(parse_filter, args.filter)),
            namespaces=tuple(args.namespace),
            pod_namespaces=tuple(args.pod_namespace),
            engines=engines_of(args),
            runtimes=tuple(args.runtime),
            selectors=tuple(args.selectors),
        )
        keys = {container.key for container in select(inventory, selection)}
        nodes = prune(nodes, lambda node: node.container in keys)
    if args.no_processes:
        nodes = without_processes(nodes)
    return nodes if args.depth is None else to_depth(nodes, args.depth)


def _narrows(args: Namespace) -> bool:
    return bool(
        args.selectors
        or args.problems
        or args.filter
        or args.namespace
        or args.pod_namespace
        or args.engine
        or args.runtime
    )
