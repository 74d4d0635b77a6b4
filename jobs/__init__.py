"""What a job is and where it is kept; shared by the API and the workers. No torch, no FastAPI."""
