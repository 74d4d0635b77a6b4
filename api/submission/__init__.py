"""From a request to a job: what is accepted, from what, and under which terms."""
