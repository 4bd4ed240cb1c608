"""A chat agent that sees and answers with pictures: a frozen LM and a frozen image encoder joined by a small bridge."""

__version__ = "0.1.0"
