"""A fleet of machines in network namespaces of this one: `make fleet`."""
