"""What is said of photographs: a grammar of questions, requests and dialogues over mixtures of classes."""
