"""How well photographs are told: real ones, labelled by hand."""
