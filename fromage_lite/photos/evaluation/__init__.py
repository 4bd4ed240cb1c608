"""How well the model of photographs does."""
