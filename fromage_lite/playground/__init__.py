"""The embedded world: scenes of pictograms, a text grammar over them, and the small models pretrained on both."""
