"""Pictures on a terminal: read, shrunk, drawn, kept."""
