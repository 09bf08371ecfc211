"""Endpoints: how the address of a source becomes its `instance` and its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

_TOLD: Final = frozenset({"target", "module"})


def host_port(url: str) -> str:
    """`host:port` of a URL, with the port that its scheme implies; IPv6 addresses in brackets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def instance_of(url: str) -> str:
    """What a URL speaks of: the `target` of a multi-target exporter (a BMC, a PDU), else the exporter itself."""
    target = parse_qs(urlsplit(url).query).get("target", [""])[0]
    return target or host_port(url)


def exporter_names(vendor: str, name: str | None, urls: Sequence[str]) -> list[str]:
    """One name per target: `dcgm@host:port`, with path and module where one address has several pages.

    Nothing else of a query stands in a name: names are printed everywhere, and a query may hold a key.
    """
    if name is not None and len(urls) == 1:
        return [name]
    instances = [instance_of(url) for url in urls]
    often = Counter(instances)
    return [
        f"{name or vendor}@{instance}" + (_page(url) if often[instance] > 1 else "")
        for instance, url in zip(instances, urls, strict=True)
    ]


def shortened(url: str) -> str:
    """A URL that may be printed: of its query only what says which page it is (`target`, `module`)."""
    parts = urlsplit(url)
    kept = [(name, values[0]) for name, values in parse_qs(parts.query).items() if name in _TOLD]
    return urlunsplit(parts._replace(query=urlencode(kept), fragment=""))


def _page(url: str) -> str:
    parts = urlsplit(url)
    module = parse_qs(parts.query).get("module", [""])[0]
    return (parts.path or "/metrics") + (f"?module={module}" if module else "")
