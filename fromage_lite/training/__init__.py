"""Training a bridge: data, losses, the loop, and a whole run."""
