"""The worlds: the demo with three clusters on two sites, and a large one of GPU nodes only.

The demo holds every way of sharing a device and every exporter variant once. The two sites use the same
node names and namespaces on purpose: only the cluster tells them apart.
"""

from __future__ import annotations

from itertools import count

from kcloud_exporter.fleet.hardware import (
    A100,
    ATOM,
    H100,
    L40S,
    RNGD,
    V100,
    Draft,
    accelerator,
    held_by,
    node,
    pod,
    short_id,
    site,
    vm,
)
from kcloud_exporter.fleet.mixed import build_mixed
from kcloud_exporter.fleet.signals import PERIOD_STEPS, Clock
from kcloud_exporter.fleet.spec import FleetSpec
from kcloud_exporter.fleet.world import Cluster, Node, Part, Pod, World

LARGE_NODES = 100
_GPU = ("dcgm", "kepler", "ipmi")
_LEGACY = ("kepler_legacy", "node_exporter", "ipmi")


def build_world(spec: FleetSpec, start: float = 0.0, octet: int = 0) -> World:
    """The world of a spec.

    `start` (Unix seconds) counts when the spec names none; addresses are 127.`octet`.x.y.
    """
    period = 1 if spec.frozen else PERIOD_STEPS
    clock = Clock(start if spec.start is None else spec.start, spec.step_seconds, period)
    draft = Draft(spec.seed, clock, octet)
    if spec.nodes_per_cluster is not None or spec.size == "large":
        return _large(draft, spec.nodes_per_cluster or LARGE_NODES, spec.gpus_per_node)
    return build_mixed(draft, ailing=spec.ailing) if spec.size == "mixed" else _demo(draft)


def _demo(draft: Draft) -> World:
    numbers = count()
    seoul_a = Cluster("seoul-a", "icn1", _seoul_a(draft, numbers), "cp-1")
    seoul_b = Cluster("seoul-b", "icn1", _seoul_b(draft, numbers), "npu-1")
    busan_a = Cluster("busan-a", "pus1", _busan_a(draft, numbers), "gpu-1")
    sites = (
        site(draft, "icn1", "seoul-a", next(numbers), seoul_a.nodes + seoul_b.nodes),
        site(draft, "pus1", "busan-a", next(numbers), busan_a.nodes),
    )
    return World(draft.clock, (seoul_a, seoul_b, busan_a), sites)


def _replica(draft: Draft, cluster: str, name: str, namespace: str, cpu_watts: int, container: str) -> Pod:
    full_name = f"{name}-{short_id(cluster + name)}"
    return pod(draft, cluster, full_name, namespace, cpu_watts=cpu_watts, container=container)


def _server(draft: Draft, cluster: str, name: str, container: str, cpu_watts: int, tokens: int, model: str) -> Pod:
    """A pod that serves a model, up to `tokens` generated per second."""
    return pod(draft, cluster, name, "serving", container=container, cpu_watts=cpu_watts, tokens=tokens, model=model)


def _seoul_a(draft: Draft, numbers: count[int]) -> tuple[Node, ...]:
    at = "seoul-a"
    control = (
        pod(draft, at, "kube-apiserver-cp-1", "kube-system", container="kube-apiserver", cpu_watts=14),
        pod(draft, at, "etcd-cp-1", "kube-system", container="etcd", cpu_watts=9),
        pod(draft, at, "prometheus-k8s-0", "monitoring", container="prometheus", cpu_watts=18),
    )
    pretrain = pod(draft, at, "llama-pretrain-0", "ml-team", container="trainer", cpu_watts=60, profile="training")
    chat_name = f"vllm-chat-7d9f8c6b5-{short_id(at + 'vllm-chat-7d9f8c6b5')}"
    chat = _server(draft, at, chat_name, "vllm", 35, 2400, "meta-llama/Llama-3.1-8B-Instruct")
    loader = _replica(draft, at, "dataset-loader-5f7d", "ml-team", 42, "loader")
    tune = pod(draft, at, "llama-ft-0", "ml-team", container="trainer", cpu_watts=48, profile="training")
    books = tuple(pod(draft, at, f"notebook-{who}-0", "research", container="jupyter", cpu_watts=12) for who in "abcd")
    embed = _replica(draft, at, "embedder-6c9f", "serving", 16, "infer")
    rerank = _replica(draft, at, "reranker-58bd", "serving", 11, "infer")
    vision = _replica(draft, at, "vision-84c5", "serving", 22, "triton")
    return (
        node(
            draft, at, "cp-1", next(numbers),
            exporters=("kepler", "ipmi", "kube_state_metrics"), cpu_meter="kepler", pods=control,
        ),
        node(
            draft, at, "gpu-1", next(numbers),
            exporters=_GPU, cpu_meter="kepler", pods=(pretrain, chat, loader),
            accelerators=(
                accelerator(draft, at, "gpu-1", 0, H100, held_by(pretrain)),
                accelerator(draft, at, "gpu-1", 1, H100, held_by(pretrain)),
                accelerator(draft, at, "gpu-1", 2, H100, held_by(chat), profile="inference"),
                accelerator(draft, at, "gpu-1", 3, H100),
            ),
        ),
        node(
            draft, at, "gpu-2", next(numbers),
            exporters=_GPU, cpu_meter="kepler", pods=(tune, *books), dcgm_layout="hostname", kepler_gpu=True,
            accelerators=(
                accelerator(
                    draft, at, "gpu-2", 0, A100, held_by(*books[:3]), sharing="time_sliced", profile="inference"
                ),
                accelerator(draft, at, "gpu-2", 1, A100, held_by(tune)),
                accelerator(draft, at, "gpu-2", 2, A100, held_by(books[3]), profile="idle"),
                accelerator(draft, at, "gpu-2", 3, A100),
            ),
        ),
        node(
            draft, at, "mig-1", next(numbers),
            exporters=_GPU, cpu_meter="kepler", pods=(embed, rerank, vision),
            accelerators=(
                accelerator(
                    draft, at, "mig-1", 0, H100,
                    (Part(3, embed, "3g.40gb", "1"), Part(1, rerank, "1g.10gb", "9"), Part(1, None, "1g.10gb", "10")),
                    sharing="mig", profile="inference",
                ),
                accelerator(draft, at, "mig-1", 1, H100, held_by(vision), profile="inference"),
            ),
        ),
    )  # fmt: skip


def _seoul_b(draft: Draft, numbers: count[int]) -> tuple[Node, ...]:
    at = "seoul-b"
    llm = tuple(_server(draft, at, f"furiosa-llm-{n}", "llm", 24, 900, "furiosa-ai/Llama-3.1-8B") for n in range(4))
    rank = tuple(_server(draft, at, f"vllm-rbln-{n}", "vllm", 19, 700, "rbln/Qwen2.5-7B") for n in range(3))
    search = pod(draft, at, "search-encoder-0", "search", container="encoder", cpu_watts=15)
    batch = _replica(draft, at, "log-digest-7b6d", "data-platform", 30, "digest")
    return (
        node(
            draft, at, "npu-1", next(numbers),
            exporters=("furiosa", *_LEGACY, "kube_state_metrics"), cpu_meter="kepler_legacy", pods=llm,
            accelerators=(
                accelerator(
                    draft, at, "npu-1", 0, RNGD, (Part(4, llm[0], "0-3"),), sharing="cores", profile="inference"
                ),
                accelerator(
                    draft, at, "npu-1", 1, RNGD, (Part(4, llm[1], "0-3"), Part(4, llm[2], "4-7")),
                    sharing="cores", profile="inference",
                ),
                accelerator(draft, at, "npu-1", 2, RNGD, held_by(llm[3]), profile="inference"),
                accelerator(draft, at, "npu-1", 3, RNGD),
            ),
        ),
        node(
            draft, at, "npu-2", next(numbers),
            exporters=("rebellions", *_LEGACY), cpu_meter="kepler_legacy", pods=(*rank[:2], batch),
            accelerators=(
                accelerator(draft, at, "npu-2", 0, ATOM, held_by(rank[0]), profile="inference"),
                accelerator(draft, at, "npu-2", 1, ATOM, held_by(rank[1]), profile="inference"),
                accelerator(draft, at, "npu-2", 2, ATOM),
            ),
        ),
        node(
            draft, at, "npu-3", next(numbers),
            exporters=("rebellions", *_LEGACY), cpu_meter="kepler_legacy", pods=(rank[2], search),
            new_rebellions_names=True,
            accelerators=(
                accelerator(draft, at, "npu-3", 0, ATOM, held_by(rank[2]), profile="inference"),
                accelerator(draft, at, "npu-3", 1, ATOM, held_by(search), profile="inference"),
                accelerator(draft, at, "npu-3", 2, ATOM),
            ),
        ),
    )  # fmt: skip


def _busan_a(draft: Draft, numbers: count[int]) -> tuple[Node, ...]:
    at = "busan-a"
    render = _replica(draft, at, "render-farm-6f5c", "media", 33, "blender")
    speech = _replica(draft, at, "whisper-79db", "serving", 21, "whisper")
    train = pod(draft, at, "speech-train-0", "ml-team", container="trainer", cpu_watts=40, profile="training")
    chat = _server(draft, at, "furiosa-chat-0", "llm", 20, 800, "furiosa-ai/Llama-3.1-8B")
    web = tuple(vm(draft, at, n, f"web-{n}", "shop", cpus=6, cpu_watts=30) for n in (1, 2))
    books = vm(draft, at, 3, "ledger-db", "finance", cpus=12, cpu_watts=55)
    desk = tuple(vm(draft, at, n, f"desktop-{n}", "office", cpus=4, cpu_watts=18) for n in (4, 5, 6))
    translate = _server(draft, at, "furiosa-translate-0", "llm", 20, 850, "furiosa-ai/EXAONE-3.5-7.8B")
    return (
        node(
            draft, at, "gpu-1", next(numbers),
            exporters=(*_GPU, "kube_state_metrics"), cpu_meter="kepler", pods=(render, speech), dcgm_layout="3.3.5",
            accelerators=(
                accelerator(draft, at, "gpu-1", 0, L40S, held_by(render)),
                accelerator(draft, at, "gpu-1", 1, L40S, held_by(speech), profile="inference"),
                accelerator(draft, at, "gpu-1", 2, L40S),
            ),
        ),
        node(
            draft, at, "mix-1", next(numbers),
            exporters=("dcgm", "furiosa", "node_exporter", "ipmi"), cpu_meter="rapl", pods=(train, chat),
            dcgm_layout="1.x", psys=True,
            accelerators=(
                accelerator(draft, at, "mix-1", 0, V100, held_by(train)),
                accelerator(draft, at, "mix-1", 1, V100),
                accelerator(draft, at, "mix-1", 0, RNGD, held_by(chat), profile="inference"),
            ),
        ),
        node(
            draft, at, "npu-1", next(numbers),
            exporters=("furiosa", "node_exporter"), cpu_meter="rapl", pods=(translate,), whole_server_meter=False,
            accelerators=(
                accelerator(draft, at, "npu-1", 0, RNGD, held_by(translate), profile="inference"),
                accelerator(draft, at, "npu-1", 1, RNGD),
            ),
        ),
        node(
            draft, at, "hyp-1", next(numbers),
            exporters=("kepler", "ipmi", "openstack"), cpu_meter="kepler", pods=(), vms=(*web, books),
        ),
        node(
            draft, at, "hyp-2", next(numbers),
            exporters=("libvirt", "node_exporter"), cpu_meter="rapl", pods=(), vms=desk, whole_server_meter=False,
        ),
    )  # fmt: skip


def _large(draft: Draft, nodes: int, gpus: int) -> World:
    numbers = count()
    made = tuple(_large_node(draft, f"node-{n:04d}", next(numbers), gpus, first=n == 0) for n in range(nodes))
    cluster = Cluster("big-a", "icn1", made, made[0].name)
    return World(draft.clock, (cluster,), (site(draft, "icn1", cluster.name, next(numbers), made),))


def _large_node(draft: Draft, name: str, number: int, gpus: int, *, first: bool) -> Node:
    """Of every four GPUs one is idle, the others have a pod each."""
    at = "big-a"
    names = {gpu: f"job-{number}-{gpu}" for gpu in range(gpus) if gpu % 4 != 3}
    teams = {gpu: f"team-{(number * gpus + gpu) % 20:02d}" for gpu in names}
    pods = {
        gpu: pod(draft, at, names[gpu], teams[gpu], container="trainer", cpu_watts=12, profile="training")
        for gpu in names
    }
    devices = tuple(
        accelerator(draft, at, name, gpu, H100, held_by(pods[gpu]) if gpu in pods else ()) for gpu in range(gpus)
    )
    return node(
        draft, at, name, number,
        exporters=(*_GPU, "kube_state_metrics") if first else _GPU, cpu_meter="kepler",
        pods=tuple(pods.values()), accelerators=devices,
    )  # fmt: skip
