"""What a URL speaks of, and what a source is called."""

from __future__ import annotations

import pytest

from kcloud_exporter.config.endpoints import exporter_names, host_port, instance_of


@pytest.mark.parametrize(
    ("url", "instance"),
    [
        ("http://10.0.0.7:9400/metrics", "10.0.0.7:9400"),
        ("https://h/metrics", "h:443"),
        ("http://[::1]/m", "[::1]:80"),
        ("http://ipmi:9290/ipmi?target=10.1.0.7&module=default", "10.1.0.7"),
        ("http://snmp:9116/snmp?module=apcups&target=pdu-1", "pdu-1"),
    ],
)
def test_a_multi_target_exporter_speaks_of_its_target(url: str, instance: str) -> None:
    assert instance_of(url) == instance


def test_names_are_unique() -> None:
    bmcs = [f"http://ipmi:9290/ipmi?target=10.1.0.{n}" for n in (7, 8)]
    pages = ["http://h:1/a", "http://h:1/b?module=x&key=s3cret"]

    assert exporter_names("ipmi", None, bmcs) == ["ipmi@10.1.0.7", "ipmi@10.1.0.8"]
    assert exporter_names("generic", None, pages) == ["generic@h:1/a", "generic@h:1/b?module=x"]
    assert exporter_names("dcgm", "gpus", ["http://h:1/a"]) == ["gpus"]
    assert exporter_names("dcgm", "gpus", ["http://h:1", "http://i:1"]) == ["gpus@h:1", "gpus@i:1"]
    assert host_port("http://h") == "h:80"
