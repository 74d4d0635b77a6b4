"""Models by name: catalog, releases, downloads, and where their weights are placed."""
