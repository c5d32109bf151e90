"""`python -m piip_explore`: the command line."""

from piip_explore.cli import main

main()
