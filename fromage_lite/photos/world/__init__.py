"""What is in photographs: classes, kinds, and the class probabilities that a classifier gives."""
