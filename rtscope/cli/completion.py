"""Print a completion script.

rtscope completion bash > /etc/bash_completion.d/rtscope
rtscope completion zsh  > /usr/local/share/zsh/site-functions/_rtscope
rtscope completion fish > ~/.config/fish/completions/rtscope.fish
"""

from argparse import ArgumentParser, Namespace

from rtscope.cli.terminal import write

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=SHELLS)


def run(args: Namespace) -> int:
    """Prints the script, made from the parser itself."""
    import shtab

    from rtscope.cli.parser import build

    write(shtab.complete(build(), shell=args.shell).rstrip("\n") + "\n")
    return 0
