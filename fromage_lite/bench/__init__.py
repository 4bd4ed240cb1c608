"""Measurements of speed and memory, on random weights of real shapes; `scripts/bench.py` runs them."""
