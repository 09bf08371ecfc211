"""Mutants that change nothing anybody could notice, and why; they count among the survivors all the same.

Module → (the statement as it stands, column and change as the list of survivors tells them) → the reason.
"""

from __future__ import annotations

from typing import Final

EQUIVALENT: Final[dict[str, dict[tuple[str, str], str]]] = {
    "derive/ledger.py": {
        ("cluster_power=sum_by(node_power, np.zeros(nodes, np.int32), 1)[0],", "68 1 → 2"): (
            "a second cluster that no node is in, and only the first is taken"
        ),
        (
            "any_measured = ~np.isnan(node_power).all(axis=1)",
            "20 np.isnan(node_power) → np.isfinite(node_power)",
        ): "what is measured of a node without a reading adds up to 0, so the residual is the wall either way",
    },
    "derive/energy.py": {
        ("self._rows_of: Rows = np.empty(0, np.int32)", "39 0 → 1"): "made anew when the first keys come",
        ("new = known[rows[known] < 0]", "34 0 → 1"): "a row that is known already is found again by its key",
        ("if len(self._rows_of) < count:", "29 < → <="): "at as many rows as keys, none is appended",
        (
            "more = [self._row.get(key, -1) for key in keys.rows[len(self._rows_of) : count]]",
            "40 1 → 2",
        ): "any negative row says that there is none",
        (
            "self.last_added = np.append(self.last_added, np.full(fresh, -np.inf))",
            "72 -np.inf → np.inf",
        ): "the time is set three lines further down",
    },
    "derive/attribution.py": {
        ("return np.bincount(groups, values, count).astype(np.float64, copy=False)", "70 False → True"): (
            "a copy of what nobody else has"
        ),
        (
            "gain = np.where(giving[pod_node] & (weights > 0), rest[pod_node] * (weights / held[pod_node]), 0.0)",
            "51 > → >=",
        ): "who holds nothing gains nothing of what is handed out by what is held",
    },
    "storage/counters.py": {
        (
            'rows = json.dumps(stored.keys[before:], ensure_ascii=False, separators=(",", ":"))',
            "61 False → True",
        ): "another spelling of the same labels",
        ("self._inode = 0", "22 0 → 1"): "set when the file is opened, before anything asks",
        ("return 0", "15 0 → 1"): "no file has either number",
        ('if getattr(exc, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:', "48 0 → 1"): (
            "neither number is that of a full disk"
        ),
        (
            'kind = DamagedError if getattr(exc, "sqlite_errorcode", 0) & 0xFF in _DAMAGE else StorageError',
            "68 0 → 1",
        ): "neither number is one of damage",
    },
}
