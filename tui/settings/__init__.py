"""Preferences, keys and folders."""
