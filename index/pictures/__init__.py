"""Picture files: opened safely, their colours, size and date; pictures inside other files."""
