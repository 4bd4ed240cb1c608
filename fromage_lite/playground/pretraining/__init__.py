"""The playground's frozen models, trained from nothing."""
