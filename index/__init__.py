"""Vectors, images and files: the feature store and the FAISS index over it. Knows no model."""
