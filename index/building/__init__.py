"""From pictures to a store: reading, decoding, embedding, going on; here or on a Ray cluster."""
