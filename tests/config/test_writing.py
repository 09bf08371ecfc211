"""A configuration that is written and read again is the same, but for how to get in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kcloud_exporter.config.load import load_config, parse_config
from kcloud_exporter.config.reading import parse_yaml
from kcloud_exporter.config.schema import Config
from kcloud_exporter.config.writing import config_yaml, without_access

ROOT = Path(__file__).parent.parent.parent
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
odd = st.sampled_from(
    ["no", "22:00", "1e5", "0x1f", "~", "null", "$", "${HOME}", "$$", " a ", "a: b", "- x", "1_000", "=", "<<", "#"]
)
durations = st.builds(
    lambda s, ms: f"{s}s{ms}ms" if ms else f"{s}s", st.integers(1, 10**6), st.integers(0, 999)
) | st.integers(1, 10**9).map(lambda ms: f"{ms}ms")


def again(config: Config) -> Config:
    """What is read of what was written."""
    return parse_config(parse_yaml(config_yaml(config), Path("x")), {})


def test_the_example_is_read_as_the_same() -> None:
    config = load_config(ROOT / "config" / "kcloud-exporter.example.yaml", {})
    assert again(config) == without_access(config)


@given(
    label=texts | odd,
    alias=texts | odd,
    scale=st.floats(1e-300, 1e300),
    forget=durations,
    minutes=st.integers(0, 59),
    price=st.floats(0, 1e6),
)
def test_any_text_number_and_duration_survives(
    label: str, alias: str, scale: float, forget: str, minutes: int, price: float
) -> None:
    # $ stands for itself only when it is doubled.
    written = {"x": label.replace("$", "$$"), "no": "yes"}
    data: dict[str, Any] = {
        "global": {"forget_after": forget},
        "clusters": [
            {
                "name": "a",
                "site": "s",
                "labels": written,
                "sources": [{"prometheus": {"url": "http://p", "match": written}}],
                "nodes": {"aliases": {alias: "n"}, "pattern": "^(?P<node>.+)$$"},
            }
        ],
        "sites": [
            {
                "name": "s",
                "facility_power": [{"cluster": "a", "metric": "m", "scale": scale, "category": "pue2"}],
                "tariff": {
                    "currency": "KRW",
                    "price_per_kwh": price,
                    "timezone": "Asia/Seoul",
                    "periods": [{"days": ["sun"], "from": f"09:{minutes:02}", "to": "24:00", "price_per_kwh": 1}],
                },
            }
        ],
    }
    config = parse_config(data, {})
    assert again(config) == without_access(config) == config


def test_credentials_and_places_are_left_out() -> None:
    data = {
        "clusters": [
            {
                "name": "a",
                "sources": [
                    {
                        "exporter": {
                            "vendor": "ipmi",
                            "targets": ["https://h/ipmi?module=x&target=bmc-7&token=${T}"],
                            "bearer_token": "${T}",
                            "tls": {"insecure_skip_verify": True},
                        }
                    },
                    {"prometheus": {"url": "http://p", "basic_auth": {"username": "me", "password": "${T}"}}},
                ],
            }
        ],
        "storage": {"path": "/somewhere"},
        "remote_write": [{"url": "http://store/push", "bearer_token": "${T}"}],
        "history": {"backend": "prometheus", "url": "http://store"},
    }
    text = config_yaml(parse_config(data, {"T": "hidden"}))
    assert list(parse_yaml(text, Path("x"))) == ["global", "clusters", "sites", "work_units", "ledger", "limits"]
    assert "https://h/ipmi?module=x&target=bmc-7" in text
    for out in ("hidden", "token", "basic_auth", "tls", "somewhere", "store"):
        assert out not in text


def test_a_query_stays_where_nothing_else_tells_two_targets_apart() -> None:
    entries = [{"vendor": "generic", "name": n, "targets": [f"http://h/m?page={n}"]} for n in ("1", "2")]
    data = {"clusters": [{"name": "a", "sources": [{"exporter": entry} for entry in entries]}]}
    config = parse_config(data, {})
    assert again(config) == config
