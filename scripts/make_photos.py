"""`fromage-lite make-photos`, from a checkout of the repository."""

import sys

from tui.cli.main import main

if __name__ == "__main__":
    main(["make-photos", *sys.argv[1:]])
