"""What a user types, pastes or drops, and what it means."""
