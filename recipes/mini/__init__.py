"""The recipe of `mini`: synthetic music, the architecture, and what measures the trained model."""
