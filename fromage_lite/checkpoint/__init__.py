"""Checkpoints: where to find them, their formats, and their model cards."""
