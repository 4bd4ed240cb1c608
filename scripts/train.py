"""`fromage-lite train`, from a checkout of the repository."""

import sys

from tui.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
