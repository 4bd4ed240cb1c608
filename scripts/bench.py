"""`fromage-lite bench`, from a checkout of the repository."""

import sys

from tui.cli.main import main

if __name__ == "__main__":
    main(["bench", *sys.argv[1:]])
