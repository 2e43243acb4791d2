"""`python -m minicnn` is `minicnn`."""

from minicnn.cli import main

main()
