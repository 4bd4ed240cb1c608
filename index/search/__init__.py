"""The FAISS index of one model over a store: its kind, its making, its search."""
