"""Explain: the tree of samples, scales, choices and shares behind one number of the page (ledger.md, section 9)."""
