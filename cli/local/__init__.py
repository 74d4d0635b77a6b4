"""What a service on this machine consists of: processes, an embedded Redis, checks."""
