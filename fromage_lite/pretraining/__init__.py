"""What the shipped worlds share of training their frozen language models from nothing."""
