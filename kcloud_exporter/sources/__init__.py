"""Sources: everything that comes in over the network, and the parsers of its bytes."""
