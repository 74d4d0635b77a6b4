"""What a job is: its record, its request, and the song that it asks for."""
