"""`fromage-lite index`, from a checkout of the repository."""

import sys

from tui.cli.main import main

if __name__ == "__main__":
    main(["index", *sys.argv[1:]])
