"""What a person sees in a terminal: tables, progress, figures and pictures."""
