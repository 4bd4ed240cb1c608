"""A report of figures, plots and examples, as one HTML page and as Markdown with its pictures beside it."""
