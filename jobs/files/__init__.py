"""Files of jobs and assets on disk, and how long they stay."""
