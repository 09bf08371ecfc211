"""Guesses: how many wrong credentials an address may try. Those that are right are answered whatever others have tried.

A bucket for each address: so many at once, then one every few seconds. Networks of IPv6 count as one address, for any
host there has as many as it likes.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 20
SECONDS_EACH: Final = 3.0
_ADDRESSES: Final = 4096
_NETWORK: Final = 64


class Guesses:
    """Wrong credentials by address. `clock` tells seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()
        """Address → when its bucket is full again. The one that was wrong last stands last."""

    def wait(self, address: str | None) -> float:
        """Seconds until this address may guess again; 0: now."""
        full = self._until.get(_counted(address), 0.0)
        return max(full - self._clock() - (AT_ONCE - 1) * SECONDS_EACH, 0.0)

    def wrong(self, address: str | None) -> None:
        """Note wrong credentials."""
        key, now = _counted(address), self._clock()
        self._until[key] = max(self._until.pop(key, now), now) + SECONDS_EACH
        if len(self._until) > _ADDRESSES:
            self._until.popitem(last=False)


def _counted(address: str | None) -> str:
    """The address, or its network, by which guesses are counted."""
    try:
        known = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if known.version == 4:
        return str(known)
    mapped = known.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((int(known), _NETWORK), strict=False))
