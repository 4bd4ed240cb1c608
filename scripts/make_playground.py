"""`fromage-lite make-playground`, from a checkout of the repository."""

import sys

from tui.cli.main import main

if __name__ == "__main__":
    main(["make-playground", *sys.argv[1:]])
