"""Measurements of speed and memory, on random weights of real shapes; `fromage-lite bench` runs them."""
