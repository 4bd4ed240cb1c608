"""The model of photographs: its world of 1,000 classes, and what it needs to be made and measured."""
