"""VMs: which machine a series speaks of, what it is called, whose it is, and whether Kubernetes knows it as a node.

A hypervisor knows a VM by its UUID or by the name of its libvirt domain (`instance-0000002a`), OpenStack by the
UUID, its tenants by a name that they choose. All are one VM; what is told late changes what was bound before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kcloud_exporter.model import Labels
from kcloud_exporter.normalise.identity import NodeNames, first
from kcloud_exporter.vendors.mapping import VmLabels

_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


@dataclass(slots=True)
class _Vm:
    """What is known of one VM. `host` is the hypervisor's node name, once an exporter on it has shown the VM."""

    name: str = ""
    domain: str = ""
    project: str = ""
    project_id: str = ""
    address: str = ""
    host: str = ""


def uuid_of(text: str) -> str:
    """The UUID in a text (`openstack:///2ce4…`), in lower case, or an empty text."""
    match = _UUID.search(text.lower())
    return match[0] if match else ""


class VmNames:
    """What the exporters of one cluster tell of VMs.

    A VM whose UUID is the system UUID of a Kubernetes node is that node: its pods are counted and the VM is not, and
    what is read inside it belongs to the hypervisor on which it runs. Without system UUIDs the names must be equal.
    """

    def __init__(self, nodes: NodeNames) -> None:
        self._nodes = nodes
        self._vms: dict[str, _Vm] = {}
        self._by_domain: dict[str, set[str]] = {}
        self._on_node: dict[tuple[str, str], str] = {}
        self._host_of_domain: dict[str, str] = {}
        self._by_name: dict[str, set[str]] = {}
        self._projects: dict[str, str] = {}
        self._kubernetes: dict[str, str] = {}
        self._unproven: set[str] = set()
        self._asked: set[str] = set()

    def forget_answers(self) -> None:
        """Everything will be asked anew."""
        self._asked.clear()

    def learn(self, host: str, naming: VmLabels, labels: Labels) -> bool:
        """Take in one row that tells of a VM. True when something said earlier would now be said otherwise."""
        uuid, domain = uuid_of(first(labels, naming.id)), first(labels, naming.domain)
        if not uuid:
            return self._learn_host(domain, host) if domain and naming.hosted else False
        vm, new = self._vms.get(uuid), False
        if vm is None:
            vm, new = self._vms.setdefault(uuid, _Vm()), True
        told = {
            "name": first(labels, naming.name),
            "domain": domain,
            "project": first(labels, naming.project),
            "project_id": first(labels, naming.project_id),
            "address": first(labels, naming.address),
            "host": host if naming.hosted else "",
        }
        changed = {field for field, text in told.items() if text and getattr(vm, field) != text}
        for field in changed:
            setattr(vm, field, told[field])
        affected = {uuid} if changed - {"host", "address"} else set()
        if domain:
            self._by_domain.setdefault(domain, set()).add(uuid)
            self._on_node[host, domain] = uuid
            affected |= {domain} if new or "domain" in changed else set()
        if vm.name:
            namesakes = self._by_name.setdefault(vm.name, set())
            if uuid not in namesakes:
                affected |= namesakes
                namesakes.add(uuid)
        if changed & {"name", "address", "host"}:
            affected |= {f"@{vm.name}"}
        outdated = bool(affected & self._asked)
        return self._settle(uuid) or outdated

    def _learn_host(self, domain: str, host: str) -> bool:
        """A hypervisor shows a domain whose UUID it does not tell."""
        if self._host_of_domain.get(domain) == host:
            return False
        self._host_of_domain[domain] = host
        settled = [self._settle(uuid) for uuid in self._by_domain.get(domain, ())]
        return any(settled) or any(f"@{self._vms[u].name}" in self._asked for u in self._by_domain.get(domain, ()))

    def _host(self, vm: _Vm) -> str:
        return vm.host or self._host_of_domain.get(vm.domain, "")

    def learn_project(self, identifier: str, name: str) -> bool:
        """Take in what a project is called."""
        if not identifier or not name or self._projects.get(identifier) == name:
            return False
        self._projects[identifier] = name
        return any(uuid in self._asked for uuid, vm in self._vms.items() if vm.project_id == identifier)

    def learn_node(self, node: str, system: str, provider: str) -> bool:
        """Take in one node of Kubernetes, with its system UUID and what its cloud calls it."""
        uuids = {uuid_of(system), uuid_of(provider)} - {""}
        if not system and not uuids:
            self._unproven.add(node)
        changed = False
        for uuid in uuids:
            if self._kubernetes.get(uuid) != node:
                self._kubernetes[uuid] = node
                changed |= self._settle(uuid) or uuid in self._asked
        return changed

    def _settle(self, uuid: str) -> bool:
        """What is inside a VM that is a node belongs to its hypervisor."""
        vm, node = self._vms.get(uuid), self.node_of(uuid)
        if vm is None or not node:
            return False
        host = self._host(vm)
        return self._nodes.learn_guest(node, host) if host else False

    def key(self, host: str, identifier: str, domain: str) -> str:
        """What a VM is kept by: its UUID, or the domain's name while no UUID is known for it."""
        uuid = uuid_of(identifier)
        if uuid:
            return uuid
        domain = domain or identifier
        self._asked.add(domain)
        known = self._on_node.get((host, domain))
        candidates = self._by_domain.get(domain, set())
        return known or (next(iter(candidates)) if len(candidates) == 1 else domain)

    def node_of(self, key: str) -> str:
        """The Kubernetes node that a VM is, or an empty text."""
        self._asked.add(key)
        node = self._kubernetes.get(key)
        if node:
            return node
        vm = self._vms.get(key)
        return vm.name if vm and vm.name in self._unproven and len(self._by_name[vm.name]) == 1 else ""

    def describe(self, key: str) -> tuple[str, str]:
        """(project, name) of a VM. Namesakes of one project get their UUID as well."""
        self._asked.add(key)
        vm = self._vms.get(key)
        if vm is None:
            return "", key
        project, name = self._project(vm), vm.name or vm.domain or key
        namesakes = self._by_name.get(vm.name, set()) - {key}
        if any(self._project(self._vms[other]) == project for other in namesakes):
            return project, f"{name} ({key})"
        return project, name

    def _project(self, vm: _Vm) -> str:
        return vm.project or self._projects.get(vm.project_id, vm.project_id)

    def inside(self, hostname: str, address: str) -> tuple[str, str] | None:
        """(hypervisor, VM) when an exporter runs inside a VM: its host is called as one, and has its address.

        Tenants choose names and private addresses as they like, so neither alone proves anything.
        """
        self._asked.add(f"@{hostname}")
        found = [
            (self._host(vm), uuid)
            for uuid in self._by_name.get(hostname, ())
            if self._host(vm := self._vms[uuid]) and vm.address and vm.address == address
        ]
        return found[0] if len(found) == 1 else None
