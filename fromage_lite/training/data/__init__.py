"""What a bridge is trained on: captions and dialogues with pictures, as batches."""
