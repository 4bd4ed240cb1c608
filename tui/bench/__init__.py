"""Measuring the chat app: in a terminal of its own, and frame by frame without one."""
