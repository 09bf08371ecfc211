"""Web: the HTTP server and its pages; reads the snapshot, knows nothing of how it came to be."""
