"""Units: the scales of vendor tables, and the sizes and durations of the configuration.

Inside the program everything is in base units (watts, joules, seconds, bytes, hertz, celsius, ratio 0..1);
a vendor's unit is converted once, where its series is bound.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Literal

SCALES: Final[dict[str, float]] = {
    "W": 1.0,
    "mW": 1e-3,
    "uW": 1e-6,
    "kW": 1e3,
    "J": 1.0,
    "mJ": 1e-3,
    "uJ": 1e-6,
    "kWh": 3.6e6,
    "Wh": 3.6e3,
    "bytes": 1.0,
    "KiB": 1024.0,
    "MiB": 1024.0**2,
    "GiB": 1024.0**3,
    "ratio": 1.0,
    "percent": 1e-2,
    "Hz": 1.0,
    "MHz": 1e6,
    "celsius": 1.0,
    "millicelsius": 1e-3,
    "rpm": 1.0,
    "V": 1.0,
    "A": 1.0,
    "state": 1.0,
    "seconds": 1.0,
    "count": 1.0,
}

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")
_DURATION_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_SIZE_BYTES = {
    None: 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


def parse_duration(text: str) -> float:
    """Seconds of a Prometheus duration such as `15s`, `1h30m` or `500ms`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise ValueError(f"{text!r} is no duration; write for example 15s, 1m30s, 24h or 30d")
    return sum(float(n) * s for n, s in zip(match.groups(), _DURATION_SECONDS, strict=True) if n)


def parse_size(text: str) -> int:
    """Bytes of a size such as `64MiB`. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no size; write for example 4096, 512KiB or 64MiB")
    return int(match[1]) * _SIZE_BYTES[match[2]]


def rfc3339(timestamp: float, precision: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """A Unix time as text, in UTC."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
