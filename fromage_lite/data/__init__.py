"""What a bridge is trained on: captions and dialogues over pictures, cached features, batches."""
