"""Print the version of rtscope, of Python and of the libraries that are in use."""

import platform
from argparse import ArgumentParser, Namespace

from rtscope import __version__
from rtscope.cli.flags import add_common
from rtscope.cli.formats import data_text, format_of
from rtscope.cli.terminal import paper_of, write

LIBRARIES = ("grpcio", "protobuf", "psutil", "pyyaml", "shtab", "textual")


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `version`."""
    add_common(parser)


def run(args: Namespace) -> int:
    """Prints it."""
    form = format_of(args, ("table", "json", "yaml", "jsonpath"))
    document = {
        "schema_version": 1,
        "rtscope": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "libraries": _libraries(),
    }
    if form.is_data:
        write(data_text(form, document, {}, paper_of(args.color, is_full=True)))
        return 0
    write(f"rtscope {__version__}\npython {document['python']}\nkernel {document['kernel']}\n")
    write("".join(f"{name} {found or '-'}\n" for name, found in _libraries().items()))
    return 0


def _libraries() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
