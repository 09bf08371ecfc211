"""A small world for the recording rules, as a Prometheus sees it through three exporters.

Exporter `a` and its twin `a2` show cluster c1; `b` shows c2, which stands at the same site s1, and c3 at site s2.
All watts are constant, so energies are lines. The exporters run in pods, whose labels Prometheus adds.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.artefacts.promtool import Inputs

MINUTES = 1500
POD = 'job="kcloud",namespace="monitoring",pod="kcloud-exporter-{0}",instance="{0}"'
BARE = 'job="kcloud",instance="{0}"'
"""Target labels; where the page says whose namespace and pod it is, the page is right (honor_labels)."""

SHOWN_BY = {"c1": ("a", "a2"), "c2": ("b",), "c3": ("b",)}
INFO = {"c1": "s1", "c2": "s1", "c3": "s2"}
CLUSTER_WATTS = {"c1": {"cpu": 100, "gpu": 300}, "c2": {"cpu": 200}, "c3": {"npu": 50}}
FACILITY_WATTS = {"s1": 750, "s2": 100}
NODES = {"c1": (4, 0, 0), "c2": (6, 0, 0), "c3": (1, 1, 0)}
GPU = 'kind="gpu",vendor="nvidia",model="H100"'


def steady(value: float) -> str:
    """A constant."""
    return f"{value:.10g}x{MINUTES}"


def line(per_second: float) -> str:
    """A counter that grows so fast, one sample a minute."""
    return f"0+{60 * per_second:.10g}x{MINUTES}"


def _rows(cluster: str, name: str, labels: str, values: str, target: str = POD) -> Iterable[tuple[str, str]]:
    for exporter in SHOWN_BY[cluster]:
        page = f'cluster="{cluster}"' + (f",{labels}" if labels else "")
        yield f"{name}{{{page},{target.format(exporter)}}}", values


def world() -> Inputs:
    """All series of the world."""
    rows: list[tuple[str, str]] = []
    for cluster, site in INFO.items():
        rows += _rows(cluster, "kcloud_cluster_info", f'site="{site}",region="r"', steady(1))
        rows += _rows(cluster, "kcloud_energy_gap_seconds_total", "", steady(0))
        for state, count in zip(("measured", "partial", "missing"), NODES[cluster], strict=True):
            rows += _rows(cluster, "kcloud_cluster_nodes", f'state="{state}"', steady(count))
        for component, watts in CLUSTER_WATTS[cluster].items():
            rows += _rows(cluster, "kcloud_cluster_power_watts", f'component="{component}"', steady(watts))
            rows += _rows(cluster, "kcloud_cluster_energy_joules_total", f'component="{component}"', line(watts))
    for site, exporters in (("s1", ("a", "a2")), ("s2", ("b",))):
        for exporter in exporters:
            labels, target = f'site="{site}",category="pue2"', POD.format(exporter)
            watts = FACILITY_WATTS[site]
            rows.append((f"kcloud_site_facility_power_watts{{{labels},{target}}}", steady(watts)))
            rows.append((f"kcloud_site_facility_energy_joules_total{{{labels},{target}}}", line(watts)))
            rows.append((f'kcloud_site_it_energy_joules_total{{site="{site}",{target}}}', line(400)))
    rows += _one_cluster()
    return dict(rows)


def _one_cluster() -> Iterable[tuple[str, str]]:
    """Nodes, pods and accelerators of c1, and the namespace that c2 has as well."""
    for node, component, watts, free in (("n1", "cpu", 60, 20), ("n1", "gpu", 200, 0), ("n2", "cpu", 40, 40)):
        labels = f'node="{node}",component="{component}"'
        yield from _rows("c1", "kcloud_node_power_watts", labels, steady(watts))
        yield from _rows("c1", "kcloud_node_energy_joules_total", labels, line(watts))
        yield from _rows("c1", "kcloud_node_unattributed_power_watts", labels, steady(free))
    for cluster, component, watts in (("c1", "cpu", 40), ("c1", "gpu", 200), ("c2", "cpu", 10)):
        labels = f'namespace="ml",component="{component}"'
        yield from _rows(cluster, "kcloud_namespace_power_watts", labels, steady(watts), BARE)
        yield from _rows(cluster, "kcloud_namespace_energy_joules_total", labels, line(watts), BARE)
    for component, watts in (("cpu", 40), ("gpu", 200)):
        labels = f'node="n1",namespace="ml",pod="p",component="{component}"'
        yield from _rows("c1", "kcloud_pod_power_watts", labels, steady(watts), BARE)
    vm = 'node="n2",project="demo",vm="web",component="cpu"'
    yield from _rows("c1", "kcloud_vm_power_watts", vm, steady(15), BARE)
    for cluster, per_second in (("c1", 0.5), ("c2", 0.25)):
        yield from _rows(cluster, "kcloud_namespace_emissions_grams_total", 'namespace="ml"', line(per_second), BARE)
        labels = 'namespace="ml",currency="KRW"'
        yield from _rows(cluster, "kcloud_namespace_cost_total", labels, line(2 * per_second), BARE)
    for unit, per_second in (("token", 60), ("request", 0)):
        done = f'namespace="ml",pod="p",unit="{unit}"'
        yield from _rows("c1", "kcloud_work_units_total", done, line(per_second), BARE)
    yield from _rows("c1", "kcloud_namespace_energy_per_work_joules", 'namespace="ml",unit="token"', steady(4), BARE)
    for uuid, watts, busy in (("g1", 120, 0.75), ("g2", 80, 0.25)):
        device = f'node="n1",uuid="{uuid}"'
        yield from _rows("c1", "kcloud_accelerator_info", f'{device},index="0",{GPU}', steady(1))
        yield from _rows("c1", "kcloud_accelerator_power_watts", f"{device},{GPU}", steady(watts))
        yield from _rows("c1", "kcloud_accelerator_utilization_ratio", device, steady(busy))
    held = 'node="n1",uuid="g1",namespace="ml",pod="p",container="{}"'
    for container in ("x", "y", "z"):
        yield from _rows(
            "c1", "kcloud_accelerator_allocation_ratio", held.format(container), steady(0.5), BARE
        )  # 1.5 in all, which happens while a pod hands over: never more than the device
    held_idle = 'node="n1",uuid="g2",namespace="ml",pod="p"'
    yield from _rows("c1", "kcloud_accelerator_idle_power_watts", held_idle, steady(80), BARE)
