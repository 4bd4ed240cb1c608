"""Measuring a model: retrieval, captions, questions on pictures, dialogues that ask for pictures."""
