"""The feature store: a row, a small picture and a feature of each picture, its manifest and its lock."""
