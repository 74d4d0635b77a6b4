"""HTTP itself: authentication, errors, middleware, idempotency, waiting and files."""
