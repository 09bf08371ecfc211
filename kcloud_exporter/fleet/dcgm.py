"""dcgm-exporter pages: four layouts of names and labels, unsorted, `%d` and `%f`.

The traps are the real ones. A MIG device prints its whole power on every instance row and has no utilisation
there; a time-sliced device prints the same row once per pod; an idle device has no pod label at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from kcloud_exporter.fleet.exposition import Family, Kind, c_double, family, page
from kcloud_exporter.fleet.signals import FULL_LOAD
from kcloud_exporter.fleet.world import Accelerator, DcgmLayout, Node, Part, World

DRIVER: Final = "570.124.06"
# What DCGM writes for "no value" in an int64 field, less the rounding: older exporters leaked it.
LEAKED_BLANK: Final = 9223372036854775794
_OFF_THE_BUS: Final = 79

_View: TypeAlias = Part | None
_Value: TypeAlias = Callable[[Accelerator, _View, float], str | None]


def render_dcgm(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the dcgm-exporter on one node at one time (Unix seconds)."""
    server = world.node(cluster, node)
    return page(_families(server, at))


def _families(node: Node, at: float) -> Iterator[Family]:
    layout = node.dcgm_layout
    for name, kind, text, value in _fields(layout):
        rows = []
        for device in node.own("nvidia"):
            for view in _views(device):
                shown = value(device, view, at)
                if shown is not None:
                    rows.append((_labels(node, device, view, with_error=name == _XID), shown))
        yield family(name, kind, text, rows)


def _views(device: Accelerator) -> tuple[_View, ...]:
    return device.parts if device.sharing in ("mig", "time_sliced") else (None,)


def _labels(node: Node, device: Accelerator, view: _View, *, with_error: bool) -> dict[str, str]:
    layout = node.dcgm_layout
    labels = {"gpu": str(device.index), "uuid" if layout == "1.x" else "UUID": device.uuid}
    if layout != "3.3.5":
        labels["pci_bus_id"] = f"00000000:{0x17 + 0x13 * device.index:02X}:00.0"
    labels |= {"device": f"nvidia{device.index}", "modelName": device.model}
    if view and device.sharing == "mig":
        labels |= {"GPU_I_PROFILE": view.profile, "GPU_I_ID": view.id}
    labels["hostname" if layout == "hostname" else "Hostname"] = node.name
    labels["DCGM_FI_DRIVER_VERSION"] = DRIVER
    if with_error and layout in ("4.x", "hostname"):
        code, said = ("0", "No Error") if device.healthy else (str(_OFF_THE_BUS), "GPU has fallen off the bus")
        labels |= {"err_code": code, "err_msg": said}
    part = view or device.parts[0]
    if part.pod:
        prefix, suffix = ("pod_", "_name") if layout == "1.x" else ("", "")
        labels[f"container{suffix}"] = part.pod.container
        labels[f"{prefix}namespace"] = part.pod.namespace
        labels[f"pod{suffix}"] = part.pod.name
        if device.sharing == "time_sliced":
            labels["vgpu"] = part.id
    return labels


def _percent(factor: float) -> _Value:
    def value(device: Accelerator, _view: _View, at: float) -> str | None:
        if device.sharing == "mig":
            return None
        return f"{round(device.load.at(at) * factor * 100 / FULL_LOAD):d}"

    return value


def _ratio(factor: float) -> _Value:
    def value(device: Accelerator, _view: _View, at: float) -> str | None:
        return None if device.sharing == "mig" else c_double(device.load.at(at) * factor / FULL_LOAD)

    return value


def _fixed(number: int) -> _Value:
    return lambda _device, _view, _at: f"{number:d}"


def _xid(device: Accelerator, _view: _View, _at: float) -> str:
    return f"{0 if device.healthy else _OFF_THE_BUS:d}"


def _power(device: Accelerator, _view: _View, at: float) -> str:
    return c_double(device.power.at(at) / 1000)


def _energy(device: Accelerator, _view: _View, at: float) -> str:
    return f"{int(device.power.integral(at)):d}"


def _temperature(device: Accelerator, _view: _View, at: float) -> str:
    return f"{28 + device.power.at(at) * 45 // (device.full_watts * 1000) + device.excess_celsius:d}"


def _memory_temperature(device: Accelerator, view: _View, at: float) -> str:
    return f"{int(_temperature(device, view, at)) + 8:d}"


def _clock(idle: int, full: int) -> _Value:
    return lambda device, _view, at: f"{full if device.load.at(at) else idle:d}"


def _used(device: Accelerator, view: _View, at: float) -> str:
    """MiB. Of a MIG device it is the instance's own: here the rows do add up."""
    used = device.memory_used.at(at)
    if view and device.sharing == "mig":
        used = used * view.weight // device.whole if view.pod else 13
    return f"{used:d}"


def _reserved(device: Accelerator, view: _View, _at: float) -> str:
    return f"{(view.weight * 90 if view and device.sharing == 'mig' else 640):d}"


def _free(device: Accelerator, view: _View, at: float) -> str:
    size = device.memory_mib
    if view and device.sharing == "mig":
        size = size * view.weight // device.whole
    return f"{size - int(_used(device, view, at)) - int(_reserved(device, view, at)):d}"


_XID: Final = "DCGM_FI_DEV_XID_ERRORS"


def _fields(layout: DcgmLayout) -> list[tuple[str, Kind, str, _Value]]:
    """Name, type, help and value of every field of a layout's counter list."""
    if layout == "1.x":
        return [
            ("dcgm_sm_clock", "gauge", "SM clock frequency (in MHz).", _clock(345, 1530)),
            ("dcgm_memory_clock", "gauge", "Memory clock frequency (in MHz).", _fixed(877)),
            ("dcgm_gpu_temp", "gauge", "GPU temperature (in C).", _temperature),
            ("dcgm_power_usage", "gauge", "Power draw (in W).", _power),
            ("dcgm_total_energy_consumption", "counter", "Total energy consumption since boot (in mJ).", _energy),
            ("dcgm_gpu_utilization", "gauge", "GPU utilization (in %).", _percent(1)),
            ("dcgm_mem_copy_utilization", "gauge", "Memory utilization (in %).", _percent(0.6)),
            ("dcgm_fb_free", "gauge", "Framebuffer memory free (in MiB).", _free),
            ("dcgm_fb_used", "gauge", "Framebuffer memory used (in MiB).", _used),
            ("dcgm_xid_errors", "gauge", "Value of the last XID error encountered.", _xid),
        ]
    fields: list[tuple[str, Kind, str, _Value]] = [
        ("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz).", _clock(345, 1980)),
        ("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz).", _fixed(2619)),
        (
            "DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C).",
            _fixed(LEAKED_BLANK) if layout == "3.3.5" else _memory_temperature,
        ),
        ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C).", _temperature),
        ("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).", _power),
        (
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter",
            "Total energy consumption since boot (in mJ).", _energy,
        ),
        ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", "Total number of PCIe retries.", _fixed(0)),
        ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", _percent(1)),
        ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", _percent(0.6)),
        ("DCGM_FI_DEV_ENC_UTIL", "gauge", "Encoder utilization (in %).", _percent(0)),
        ("DCGM_FI_DEV_DEC_UTIL", "gauge", "Decoder utilization (in %).", _percent(0)),
        (_XID, "gauge", "Value of the last XID error encountered.", _xid),
        ("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", _free),
        ("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", _used),
    ]  # fmt: skip
    if layout == "3.3.5":
        return fields
    return [
        *fields,
        ("DCGM_FI_DEV_FB_RESERVED", "gauge", "Framebuffer memory reserved (in MiB).", _reserved),
        ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", "Whether remapping of rows has failed", _fixed(0)),
        ("DCGM_FI_DEV_VGPU_LICENSE_STATUS", "gauge", "vGPU License status", _fixed(0)),
        (
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge",
            "Ratio of time the graphics engine is active.", _ratio(1),
        ),
        (
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge",
            "Ratio of cycles the tensor (HMMA) pipe is active.", _ratio(0.45),
        ),
        (
            "DCGM_FI_PROF_DRAM_ACTIVE", "gauge",
            "Ratio of cycles the device memory interface is active sending or receiving data.", _ratio(0.6),
        ),
    ]  # fmt: skip


def dcgm_page(nodes: int, gpus_per_node: int, *, idle_every: int = 4, namespaces: int = 50, step: int = 0) -> str:
    """A large page of many nodes, as federation would hand it out; for benchmarks, without a world.

    Ten families, `nodes * gpus_per_node * 10` samples. Every `idle_every`-th device has no pod. The values
    change with `step`, the series do not.
    """
    labels = []
    for number in range(nodes * gpus_per_node):
        host, gpu = divmod(number, gpus_per_node)
        owner = (
            f',container="main",namespace="team-{number % namespaces:03d}",pod="job-{number:07d}-0"'
            if number % idle_every
            else ""
        )
        labels.append(
            f'gpu="{gpu}",UUID="GPU-{number:08x}-5c1f-4a77-9d2e-{number * 2654435761 % 2**48:012x}",'
            f'pci_bus_id="00000000:{0x17 + gpu:02X}:00.0",device="nvidia{gpu}",modelName="NVIDIA H100 80GB HBM3",'
            f'Hostname="node-{host:05d}",DCGM_FI_DRIVER_VERSION="{DRIVER}"{owner}'
        )
    lines: list[str] = []
    for name, kind, text, low, high, decimals in _LARGE:
        lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}")
        span = high - low
        lines.extend(
            f"{name}{{{each}}} {low + (number * 7919 + step * 104729) % 10007 / 10007 * span:.{decimals}f}"
            for number, each in enumerate(labels)
        )
    return "\n".join(lines) + "\n"


_LARGE: Final[list[tuple[str, Kind, str, float, float, int]]] = [
    ("DCGM_FI_DEV_SM_CLOCK", "gauge", "SM clock frequency (in MHz).", 345, 1980, 0),
    ("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Memory clock frequency (in MHz).", 2619, 2619, 0),
    ("DCGM_FI_DEV_MEMORY_TEMP", "gauge", "Memory temperature (in C).", 30, 90, 0),
    ("DCGM_FI_DEV_GPU_TEMP", "gauge", "GPU temperature (in C).", 28, 82, 0),
    ("DCGM_FI_DEV_POWER_USAGE", "gauge", "Power draw (in W).", 70, 700, 6),
    ("DCGM_FI_DEV_GPU_UTIL", "gauge", "GPU utilization (in %).", 0, 100, 0),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", 0, 100, 0),
    ("DCGM_FI_DEV_FB_FREE", "gauge", "Framebuffer memory free (in MiB).", 0, 40000, 0),
    ("DCGM_FI_DEV_FB_USED", "gauge", "Framebuffer memory used (in MiB).", 0, 40000, 0),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", "Ratio of time the graphics engine is active.", 0, 1, 6),
]
