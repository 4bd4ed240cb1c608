"""Evaluation: readers of published data sets, measures, the paper's tasks, and reports of them."""
