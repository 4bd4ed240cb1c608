"""Checkpoints: where they are, what formats there are, and their model cards."""
