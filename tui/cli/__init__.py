"""The commands of `fromage-lite`, one file each, with their shared options and output."""
