"""Recording: what sources answered over a period, in the order in which it was read, and the same ledger from it."""
