"""Identity: which node, which device, which part of it, and whose.

The same node is `node-7` to Kubernetes, `10.1.0.7` to its BMC and `10.0.0.7:9400` to a scrape; all of them
resolve to one name per cluster. The same device is one device, whoever prints it.
"""

from __future__ import annotations

import re
from typing import Final

from kcloud_exporter.model import Labels
from kcloud_exporter.vendors.mapping import DeviceLabels, Owner, Partition, VendorTable

_PORT: Final = re.compile(r":\d+$")
_SLICES: Final = re.compile(r"(\d+)g\b")
_PCI: Final = re.compile(r"(?:([0-9a-fA-F]+):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-9a-fA-F])")
_FEW: Final = 20_000
_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")


def first(labels: Labels, candidates: list[str]) -> str:
    """The first non-empty of several labels, or an empty text."""
    for name in candidates:
        value = labels.get(name) or ("/" in name and joined(labels, name))
        if value:
            return value
    return ""


def joined(labels: Labels, name: str) -> str:
    """The texts of `one/other`, joined the same way, or an empty text when one is missing. `instance` has no port."""
    texts = [host_of(labels.get(part, "")) if part == "instance" else labels.get(part, "") for part in name.split("/")]
    return "/".join(texts) if all(texts) else ""


def pci_key(text: str) -> str:
    """A PCI address in one spelling (`00000000:17:00.0` and `0000:17:00.0` are one), or an empty text."""
    match = _PCI.fullmatch(text)
    if not match:
        return ""
    domain, bus, device, function = (int(part or "0", 16) for part in match.groups())
    return f"{domain:x}:{bus:02x}:{device:02x}.{function:x}"


def host_of(address: str) -> str:
    """The host part of `host:port`, of a URL or of `[::1]:9100`."""
    text = address.split("://", 1)[-1].split("/", 1)[0]
    if text.startswith("["):
        return text[1:].split("]", 1)[0]
    return _PORT.sub("", text) if text.count(":") == 1 else text


class NodeNames:
    """Raw name or address → node name of one cluster: aliases, inventory, pattern, host part, in that order."""

    def __init__(self, aliases: dict[str, str], pattern: str | None) -> None:
        # What an alias leads to is a node's name, whoever else knows it.
        self._aliases = {**{name: name for name in aliases.values()}, **aliases}
        self._pattern = re.compile(pattern) if pattern else None
        self._inventory: dict[str, str] = {}
        self._pods: dict[str, str] = {}
        self._pods_told: set[str] = set()
        self._pods_then = 0
        self._guests: dict[str, str] = {}
        self._answers: dict[str, tuple[str, bool]] = {}
        self._asked_by_host: dict[str, list[str]] = {}

    def learn(self, name: str, *addresses: str) -> bool:
        """Take in one node of the inventory. True when an answer given earlier would now be another."""
        changed = [self._remember(self._inventory, raw, name) for raw in (name, *addresses) if raw]
        return any(changed)

    def learn_pod(self, node: str, address: str, pod: str) -> bool:
        """Exporters are often known by their own pod's address or name: both stand for the pod's node."""
        told = [raw for raw in (address, pod) if raw]
        self._pods_told.update(told)
        changed = [self._remember(self._pods, raw, node) for raw in told]
        return any(changed)

    def learn_guest(self, node: str, host: str) -> bool:
        """A node of the inventory is a VM: what is read of it belongs to the server on which it runs."""
        if node == host or self._guests.get(node) == host:
            return False
        self._guests[node] = host
        changed = {text: new for text, old in self._answers.items() if (new := self._look_up(text)) != old}
        self._answers.update(changed)
        return bool(changed)

    def is_guest(self, raw: str) -> bool:
        """Whether a name or an address means a VM that is a node, and not the server under it."""
        return bool(self._guests) and self._named(raw)[0] in self._guests

    def server_of(self, node: str) -> str:
        """The server that a node of the inventory is, or on which it runs as a VM."""
        return self.resolve(node)[0]

    def _remember(self, table: dict[str, str], raw: str, node: str) -> bool:
        if table.get(raw) == node:
            return False
        table[raw] = node
        asked = self._asked_by_host.get(raw, ())
        return any(self._look_up(text) != self._answers[text] for text in asked)

    def forget_answers(self) -> None:
        """Resolve everything anew the next time it is asked, and note what is told from now on."""
        self._pods_told.clear()
        self._answers.clear()
        self._asked_by_host.clear()

    def forget_untold(self) -> None:
        """Pods that have not been told of since `forget_answers` are gone."""
        self._pods = {raw: node for raw, node in self._pods.items() if raw in self._pods_told}
        self._pods_then = len(self._pods)

    def mostly_untold(self) -> bool:
        """Whether pods have been told of twice as many as when `forget_untold` was last called."""
        return len(self._pods) > 2 * self._pods_then + _FEW

    def resolve(self, raw: str) -> tuple[str, bool]:
        """The node name, and whether it was truly resolved or only stands under its raw name."""
        answer = self._answers.get(raw)
        if answer is None:
            answer = self._answers[raw] = self._look_up(raw)
            for text in {raw, host_of(raw)}:
                self._asked_by_host.setdefault(text, []).append(raw)
        return answer

    def known(self, raw: str) -> str | None:
        """The node's name where an alias or the inventory knows it; an address alone makes no node here.

        What the pattern makes of it counts too, so long as it is a node of the inventory, if there is one.
        """
        self.resolve(raw)  # so that a name learned later changes the answer
        for text in (raw,) if "/" in raw else (raw, host_of(raw)):
            for table in (self._aliases, self._inventory, self._pods):
                if text in table:
                    return self._guests.get(table[text], table[text])
        match = self._pattern.search(raw) if self._pattern else None
        if match and (not self._inventory or match["node"] in self._inventory):
            return match["node"]
        return None

    def _look_up(self, raw: str) -> tuple[str, bool]:
        name, resolved = self._named(raw)
        return self._guests.get(name, name), resolved

    def _named(self, raw: str) -> tuple[str, bool]:
        host = host_of(raw)
        for table in (self._aliases, self._inventory, self._pods):
            for text in (raw, host):
                if text in table:
                    return table[text], True
        if self._pattern and (match := self._pattern.search(host)):
            return match["node"], True
        return host, not (self._aliases or self._inventory) and bool(host)


def device_key(labels: Labels, naming: DeviceLabels, vendor: str) -> tuple[str, str]:
    """(canonical key, printed uuid) of a device on its node; empty when nothing names it.

    UUIDs compare without case and without NVIDIA's `GPU-` prefix, which only some exporters print.
    """
    uuid = first(labels, naming.uuid)
    if uuid:
        return uuid.casefold().removeprefix("gpu-"), uuid
    fallback = first(labels, naming.fallback)
    return (f"{vendor}:{fallback}", f"{vendor}:{fallback}") if fallback else ("", "")


def partition_of(labels: Labels, partition: Partition) -> tuple[str, int]:
    """(id, size) of the part of a device that a row speaks of; ("", 0) when it speaks of the whole."""
    name = first(labels, partition.id)
    if not name:
        return "", 0
    if partition.size == "equal":
        return name, 1
    text = first(labels, partition.label)
    if partition.size == "mig_slices":
        match = _SLICES.search(text)
        return name, int(match[1]) if match else 1
    match = _RANGE.fullmatch(text)
    if not match:
        return "", 0
    return name, (int(match[2]) - int(match[1]) + 1) if match[2] else 1


def whole_of(model: str, partition: Partition | None) -> int:
    """The size of the whole device in the units of its partitions.

    0 when its exporter knows no partitions, or prints all of them, so that their number is the size.
    """
    if partition is None:
        return 0
    for part, whole in partition.whole_by_model.items():
        if part in model:
            return whole
    return partition.whole


def owner_of(labels: Labels, table: VendorTable, own: tuple[str, str] | None) -> tuple[str, str, str] | None:
    """(namespace, pod, container) that holds what the row speaks of, or None.

    `own` is the exporter's own (namespace, pod) as its scrape target carries it. An idle device has no pod of
    its own, so Prometheus fills the label with the exporter's pod: that one owns nothing.
    """
    for names in table.owners:
        namespace, pod = names.in_namespace or labels.get(names.namespace, ""), labels.get(names.pod, "")
        if not (namespace and pod):
            continue
        if _is_own(names, namespace, pod, table, own):
            return None
        return namespace, pod, labels.get(names.container, "")
    return None


def _is_own(names: Owner, namespace: str, pod: str, table: VendorTable, own: tuple[str, str] | None) -> bool:
    if names.in_namespace or names.pod.startswith("exported_"):
        return False
    if own is not None:
        return own == (namespace, pod)
    return bool(table.own_pod) and table.own_pod in pod
