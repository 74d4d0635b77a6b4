"""Who may do what: keys, sessions, signed URLs, origins and revocation."""
