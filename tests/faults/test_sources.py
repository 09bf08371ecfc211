"""Sources that fail in every way at once: each shows its closed reason, and no other cluster is changed by a byte.

One runtime reads a cluster per fault and three that are well; a control run reads the same three alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

import pytest

from kcloud_exporter.errors import FAILURE_REASONS, REJECT_REASONS
from tests.faults.bodies import FAILING, REJECTING
from tests.faults.clusters import (
    answering,
    config_of,
    lines_of,
    page_of,
    port_of,
    runtime_of,
    samples,
    served,
    timeless,
)
from tests.faults.proxy import Fault, FaultProxy

WELL = ("well-1", "well-2", "well-3")
PROXIED: dict[str, tuple[Fault, str]] = {
    "black-hole": (Fault(black_hole=True), "timeout"),
    "cut-in-head": (Fault(cut_after=20), "truncated"),
    "cut-in-body": (Fault(cut_after=300), "truncated"),
    "reset-in-body": (Fault(reset_after=300), "truncated"),
    "half-closed": (Fault(half_close_after=300), "truncated"),
    "drip": (Fault(drip=(1, 0.2)), "timeout"),
    "narrow": (Fault(bandwidth=20.0), "timeout"),
    "late": (Fault(latency=30.0), "timeout"),
    "false-status": (Fault(corrupt_at=3), "headers"),
}
DEAD = {"refused": "connect", "nowhere": "dns", "no-tls": "tls"}
REASONS = {
    **{name: reason for name, (_, reason) in PROXIED.items()},
    **{name: reason for name, (_, reason) in FAILING.items()},
    **DEAD,
}


@dataclass
class Found:
    lines: list[str]
    control: list[str]
    logged: dict[str, str]
    noted: dict[str, set[str]]


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[str, str] = {}
        self.worse: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "source failed":
            self.reasons[vars(record)["cluster"]] = vars(record)["reason"]
        elif record.levelno >= logging.ERROR:
            self.worse.append(record.getMessage())


async def run() -> Found:
    special = {name: answer for name, (answer, _) in FAILING.items()}
    for name, (text, _) in REJECTING.items():
        extra = text.replace("%s", name).encode("utf-8", "surrogateescape")
        special[name] = answering(page_of(name) + extra)
    heard = _Heard()
    logging.getLogger("kcloud_exporter").addHandler(heard)
    async with served(special) as url, contextlib.AsyncExitStack() as stack:
        port = port_of(url)
        proxies = {
            name: await stack.enter_async_context(FaultProxy("127.0.0.1", port, fault))
            for name, (fault, _) in PROXIED.items()
        }
        targets = {name: f"{url}/{name}" for name in (*WELL, *FAILING, *REJECTING)}
        targets |= {name: f"{proxy.url}/{name}" for name, proxy in proxies.items()}
        closed = await stack.enter_async_context(FaultProxy("127.0.0.1", port))
        await closed.refuse()
        targets |= {
            "refused": f"{closed.url}/refused",
            "nowhere": "http://no-such-host.invalid/metrics",
            "no-tls": f"{url.replace('http:', 'https:')}/no-tls",
        }
        limits = {"body_bytes": "8MiB", "series_per_source": 4000}
        async with runtime_of(config_of(targets, timeout="4s", limits=limits)) as runtime:
            await runtime.tick()
            lines = await lines_of(runtime)
        async with runtime_of(config_of({name: targets[name] for name in WELL}, timeout="4s")) as runtime:
            await runtime.tick()
            control = await lines_of(runtime, *WELL)
        noted = {name: {str(kind) for kind in proxy.kinds} for name, proxy in proxies.items()}
    logging.getLogger("kcloud_exporter").removeHandler(heard)
    assert heard.worse == []
    return Found(lines, control, heard.reasons, noted)


@pytest.fixture(scope="module")
def found() -> Found:
    return asyncio.run(run())


@pytest.mark.parametrize("name", REASONS)
def test_a_source_that_fails_shows_its_reason_and_nothing_of_what_it_said(found: Found, name: str) -> None:
    own = {s: v for s, v in samples(found.lines).items() if f'cluster="{name}"' in s}
    reason = REASONS[name]
    failures = {s: v for s, v in own.items() if s.startswith("kcloud_source_failures_total")}
    assert failures == {f'kcloud_source_failures_total{{cluster="{name}",source="dcgm",reason="{reason}"}}': 1.0}
    assert own[f'kcloud_source_up{{cluster="{name}",source="dcgm"}}'] == 0
    assert found.logged[name] == reason, "and the log has an event with the same reason"
    assert not [s for s in own if "watts" in s or s.startswith("kcloud_accelerator")], "half a page is no page"


@pytest.mark.parametrize("name", REJECTING)
def test_a_sample_that_cannot_be_is_counted_and_costs_only_itself(found: Found, name: str) -> None:
    all_of_it = samples(found.lines)
    reason = REJECTING[name][1]
    assert all_of_it[f'kcloud_samples_rejected_total{{cluster="{name}",source="dcgm",reason="{reason}"}}'] >= 1
    assert all_of_it[f'kcloud_source_up{{cluster="{name}",source="dcgm"}}'] == 1
    power = {s: v for s, v in all_of_it.items() if s.startswith(f'kcloud_accelerator_power_watts{{cluster="{name}"')}
    number = 100 + sum(name.encode()) % 90
    assert sorted(power.values()) == [number, number + 1], "the two devices that are well, and no third"
    assert all_of_it[f'kcloud_cluster_power_watts{{cluster="{name}",component="gpu"}}'] == 2 * number + 1


def test_the_clusters_that_are_well_are_as_in_a_run_without_any_fault(found: Found) -> None:
    quoted = [f'cluster="{name}"' for name in WELL]
    ours = [line for line in found.lines if any(q in line for q in quoted)]
    control = [line for line in found.control if any(q in line for q in quoted)]
    assert len(timeless(control)) > 20
    assert timeless(ours) == timeless(control)
    assert [line.rsplit(" ", 1)[0] for line in ours] == [line.rsplit(" ", 1)[0] for line in control]


def test_every_fault_of_the_network_has_happened(found: Found) -> None:
    """Otherwise a good answer that failed for another reason would pass for a fault."""
    expected = {"black-hole": "black_hole", "half-closed": "half_close", "reset-in-body": "reset", "drip": "drip"}
    expected |= {"narrow": "bandwidth", "late": "latency", "false-status": "corrupt"}
    for name, kinds in found.noted.items():
        assert kinds == {expected.get(name, "cut")}, name


def test_no_label_of_a_reason_is_outside_the_closed_list(found: Found) -> None:
    of_sources = [line for line in found.lines if line.startswith(("kcloud_source_", "kcloud_samples_"))]
    shown = {line.split('reason="')[1].split('"')[0] for line in of_sources if 'reason="' in line}
    assert shown <= {*FAILURE_REASONS, *REJECT_REASONS}
    assert set(REASONS.values()) <= shown


async def test_an_answer_cut_at_any_byte_never_shows_a_shorter_number() -> None:
    """A connection that ends inside `1234` leaves `12`, which is a number as well."""
    cuts = {f"cut-{after}": after for after in range(150, 330, 3)}
    async with served() as url, contextlib.AsyncExitStack() as stack:
        targets = {}
        for name, after in cuts.items():
            proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", port_of(url), Fault(cut_after=after)))
            targets[name] = f"{proxy.url}/{name}"
        async with runtime_of(config_of(targets, timeout="4s")) as runtime:
            await runtime.tick()
            page = samples(await lines_of(runtime))
    assert not [series for series in page if "watts" in series]
    truncated = [s for s in page if s.startswith("kcloud_source_failures_total") and 'reason="truncated"' in s]
    assert len(truncated) == len(cuts)


async def test_who_comes_back_is_up_again_and_its_failures_stay_counted() -> None:
    up = 'kcloud_source_up{cluster="a",source="dcgm"}'

    def failures(page: dict[str, float]) -> float:
        return sum(v for s, v in page.items() if s.startswith("kcloud_source_failures_total"))

    async with (
        served() as url,
        FaultProxy("127.0.0.1", port_of(url), Fault(cut_after=300)) as proxy,
        runtime_of(config_of({"a": f"{proxy.url}/a"})) as runtime,
    ):
        await runtime.tick()
        page = samples(await lines_of(runtime, "a"))
        assert (page[up], failures(page)) == (0, 1)
        proxy.fault = Fault(latency=0.05)
        while page[up] == 0:  # one that failed is asked again, but not waited for
            await asyncio.sleep(0.1)
            await runtime.tick()
            page = samples(await lines_of(runtime, "a"))
        assert failures(page) == 1
