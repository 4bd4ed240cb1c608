"""The frozen language model for photographs, trained from nothing."""
