"""The chat in a browser: one process with the model, and a small one for each visitor."""
