"""How the bundled models are made: in the repository, not in the package that users install."""
