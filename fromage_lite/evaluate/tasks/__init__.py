"""The tasks of the paper, each on data as plain values: captions, retrieval, stories, dialogues, questions."""
