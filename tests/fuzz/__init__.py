"""Input that nobody meant: every reader gives an answer or one of its own errors, and nothing else ever."""
