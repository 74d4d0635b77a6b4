"""Songs by the library: their time, and what is heard where they are joined."""
