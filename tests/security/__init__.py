"""What an attacker or a careless caller may try."""
