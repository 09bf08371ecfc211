"""Storage: what must survive the process. Counters are on disk before a page shows them."""
