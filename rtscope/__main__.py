"""`python -m rtscope`."""

from rtscope.cli import main

main()
