"""Dialogues: messages in, events out."""
