"""The paper's evaluation in miniature: its data sets over held-out scenes, its tasks and its ablations, one report."""
