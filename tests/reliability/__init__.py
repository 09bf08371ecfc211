"""The table of faults and goals: what is expected, which tests hold it, and what was measured; docs/reliability.md."""
