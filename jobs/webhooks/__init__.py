"""The process that sends webhooks: no device, no model, no torch, and never inside a GPU worker."""
