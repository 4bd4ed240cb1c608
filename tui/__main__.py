"""`python -m tui`: the same command line as `fromage-lite`; the chat is its default command."""

from tui.cli.main import main

if __name__ == "__main__":
    main()
