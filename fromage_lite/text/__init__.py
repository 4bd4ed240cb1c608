"""Text before any model: messages, special tokens, prompt templates, tokenization."""
