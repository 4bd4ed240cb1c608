"""Evaluation: retrieval metrics, and questions about pictures with their answers."""
