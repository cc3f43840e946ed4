"""`python -m headstart` is the same as `headstart`."""

from headstart.cli import main

main()
