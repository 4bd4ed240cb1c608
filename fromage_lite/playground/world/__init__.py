"""What is in the playground: things, scenes, and how they are drawn."""
