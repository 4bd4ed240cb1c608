"""What is said in the playground: a grammar of captions, questions and dialogues."""
