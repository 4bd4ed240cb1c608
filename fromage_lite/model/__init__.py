"""The model: two frozen halves joined by the bridge, and decoding with retrieval."""
