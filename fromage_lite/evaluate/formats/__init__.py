"""Readers of published data sets: each file becomes plain typed values, or is refused with the place of its fault."""
