"""How well the model of photographs does: on simulated ones, and on real ones labelled by hand."""
