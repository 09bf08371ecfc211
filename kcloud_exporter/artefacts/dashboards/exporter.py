"""The exporter's own health: cycles, sources, storage, HTTP and resources."""

from __future__ import annotations

from typing import Any, Final

from kcloud_exporter import catalogue
from kcloud_exporter.artefacts.dashboards.board import CLUSTER, INSTANCE, JOB, Row, board
from kcloud_exporter.artefacts.dashboards.panels import (
    BAD_ABOVE_ZERO,
    GREEN,
    RED,
    YELLOW,
    Column,
    Query,
    Steps,
    graph,
    listing,
    number,
)
from kcloud_exporter.artefacts.promql import gap_once, once

UID: Final = "kcloud-exporter"
J: Final = 'job=~"$job",instance=~"$instance"'
S: Final = f'{J},cluster=~"$cluster"'
_CYCLE: Final = "kcloud_exporter_cycle_duration_seconds"
_DROPPED: Final = "kcloud_exporter_http_connections_dropped_total"
_RATE: Final = "[$__rate_interval]"


def exporter() -> dict[str, Any]:
    """The dashboard."""
    return board(
        UID,
        "Exporter health",
        "Whether kcloud-exporter itself works: its cycles, its sources, its disk, its clients.",
        (JOB, INSTANCE, CLUSTER),
        (Row("Now", _now()), Row("Sources", _sources()), Row("Process", _process())),
    )


def _now() -> tuple[Any, ...]:
    failing = f"sum(increase(kcloud_exporter_storage_write_failures_total{{{J}}}[1h]))"
    return (
        number("Up", "Exporters that answer.", "none", f"sum(up{{{J}}})", steps=Steps(RED, ((1, GREEN),)), span=4),
        number(
            "Age of the snapshot",
            "Of the oldest page.",
            "s",
            f"max({catalogue.SNAPSHOT_AGE}{{{J}}})",
            steps=Steps(GREEN, ((60, YELLOW), (120, RED))),
        ),
        number("Series", "Series of the ledger on all pages.", "short", f"sum({catalogue.SNAPSHOT_SERIES}{{{J}}})"),
        number(
            "Sources down",
            "Sources whose last answer was bad.",
            "none",
            f"sum(1 - {once(catalogue.SOURCE_UP, S)})",
            steps=BAD_ABOVE_ZERO,
        ),
        number(
            "Configuration refused",
            "Exporters whose last reload failed.",
            "none",
            f"sum(1 - kcloud_exporter_config_last_reload_successful{{{J}}})",
            steps=BAD_ABOVE_ZERO,
        ),
        number("Failed writes", "Of counters to disk, in an hour.", "none", failing, steps=BAD_ABOVE_ZERO),
    )


def _or_none(expr: str, label: str) -> str:
    """An expression whose series exist only after something has gone wrong; until then a zero with the label `none`."""
    return f'{expr} or label_replace(vector(0), "{label}", "none", "", "")'


def _sources() -> tuple[Any, ...]:
    failures = f"sum by (reason) (rate({catalogue.SOURCE_FAILURES}{{{S}}}{_RATE}))"
    rejected = f"sum by (reason) (rate({catalogue.SAMPLES_REJECTED}{{{S}}}{_RATE}))"
    return (
        graph(
            "Failures by reason",
            "Failed answers per second, of all sources.",
            "cps",
            Query(_or_none(failures, "reason"), "{{reason}}"),
        ),
        graph(
            "Rejected samples by reason",
            "Samples per second that cannot be true or cannot be used; they reach no sum.",
            "cps",
            Query(_or_none(rejected, "reason"), "{{reason}}"),
        ),
        graph(
            "Slowest sources",
            "How long their last answers took.",
            "s",
            Query(f"topk(10, {once(catalogue.SOURCE_DURATION, S)})", "{{cluster}} {{source}}"),
            span=8,
        ),
        graph(
            "Clocks of the sources",
            "How far the newest time that an answer carries is from our own. Where it is long, one of the two clocks "
            "is wrong, or nothing new is scraped. Energy goes by our own.",
            "s",
            Query(f"topk(10, abs({once(catalogue.SOURCE_CLOCK_SKEW, S)}))", "{{cluster}} {{source}}"),
            span=8,
        ),
        graph(
            "Energy that was not integrated",
            "Seconds per second in which nobody saw what was drawn.",
            "percentunit",
            Query(gap_once(f"rate({catalogue.ENERGY_GAP}{{{S}}}{_RATE})"), "{{cluster}}"),
            at_least=0,
            span=8,
        ),
        listing(
            "Sources",
            "One line per source.",
            (
                Column(once(catalogue.SOURCE_UP, S), "Up", "none"),
                Column(f"time() - {once(catalogue.SOURCE_LAST_SUCCESS, S)}", "Last good answer", "s"),
                Column(once(catalogue.SOURCE_DURATION, S), "Duration", "s"),
                Column(once(catalogue.SOURCE_SAMPLES, S), "Samples", "none"),
            ),
        ),
    )


def _process() -> tuple[Any, ...]:
    latency = "kcloud_exporter_http_request_duration_seconds_bucket"
    lag = "kcloud_exporter_event_loop_lag_seconds_bucket"
    return (
        graph(
            "Cycle by stage",
            "How long each stage of the last cycle took. Gather waits for sources; the others are work.",
            "s",
            Query(f"sum by (instance, stage) ({_CYCLE}{{{J}}})", "{{instance}} {{stage}}"),
            stacked=True,
        ),
        graph(
            "CPU",
            "Cores in use.",
            "none",
            Query(f"rate(process_cpu_seconds_total{{{J}}}{_RATE})", "{{instance}}"),
            at_least=0,
        ),
        graph(
            "Memory",
            "Resident memory.",
            "bytes",
            Query(f"process_resident_memory_bytes{{{J}}}", "{{instance}}"),
            at_least=0,
        ),
        graph(
            "Requests",
            "Answers per second by route and status.",
            "reqps",
            Query(
                f"sum by (route, code) (rate(kcloud_exporter_http_requests_total{{{J}}}{_RATE}))", "{{route}} {{code}}"
            ),
        ),
        graph(
            "Slowest answers",
            "99 of 100 answers are faster.",
            "s",
            Query(f"histogram_quantile(0.99, sum by (le, route) (rate({latency}{{{J}}}{_RATE})))", "{{route}}"),
            at_least=0,
        ),
        graph(
            "Event loop lag",
            "99 of 100 looks find it no later than this; every answer waits as long.",
            "s",
            Query(f"histogram_quantile(0.99, sum by (le, instance) (rate({lag}{{{J}}}{_RATE})))", "{{instance}}"),
            at_least=0,
        ),
        graph(
            "Dropped connections",
            "Ended by the exporter: too many at once, no request in time, or nobody reads.",
            "cps",
            Query(f"sum by (reason) (rate({_DROPPED}{{{J}}}{_RATE}))", "{{reason}}"),
            at_least=0,
        ),
        graph(
            "Open streams",
            "Clients of server-sent events and WebSocket.",
            "none",
            Query(f"sum by (instance, kind) (kcloud_exporter_stream_clients{{{J}}})", "{{instance}} {{kind}}"),
            at_least=0,
        ),
        graph(
            "History",
            "Rows of the past written to disk, per second. None while the disk does not take them.",
            "cps",
            Query(f"rate(kcloud_exporter_history_rows_total{{{J}}}{_RATE})", "{{instance}}"),
            at_least=0,
        ),
        graph(
            "Scrapes",
            "How long Prometheus needs to read the page.",
            "s",
            Query(f"scrape_duration_seconds{{{J}}}", "{{instance}}"),
            at_least=0,
        ),
        listing(
            "Versions",
            "Which version runs where.",
            (Column(f"max by (instance, version) (kcloud_exporter_build_info{{{J}}})", "Runs", "none"),),
            span=12,
        ),
    )
