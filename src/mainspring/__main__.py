"""`python -m mainspring` is the command line."""

from mainspring.entry.cli import main

main()
