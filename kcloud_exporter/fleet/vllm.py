"""vLLM's pages, as every model server of the fleet prints them: counters of tokens, by model and engine.

The server does not know its namespace or pod: whoever scrapes it adds them as target labels.
"""

from __future__ import annotations

from typing import Final

from kcloud_exporter.fleet.exposition import family, go_float, page
from kcloud_exporter.fleet.world import Pod, World

PROMPT: Final = (7, 2)  # of the generated tokens
UNITS: Final = {"token": "vllm:generation_tokens_total", "prompt_token": "vllm:prompt_tokens_total"}
"""What the demo counts: unit → series."""


def render_vllm(world: World, cluster: str, node: str, at: float) -> str:
    """The page of the model server in the pod called `node` at one time (Unix seconds)."""
    server = world.server(cluster, node)
    made = done(server, at)
    labels = {"engine": "0", "model_name": server.model}
    said = {"token": "Number of generation tokens processed.", "prompt_token": "Number of prefill tokens processed."}
    return page(family(UNITS[unit], "counter", said[unit], [(labels, _number(made[unit]))]) for unit in said)


def _number(count: int) -> str:
    """As Python's client writes it: always a float, with an exponent from a million on."""
    return go_float(count) if count >= 1_000_000 else repr(float(count))


def done(server: Pod, at: float) -> dict[str, int]:
    """Unit → how many of it a server has done until a time (Unix seconds)."""
    if server.tokens is None:
        return {}
    made = server.tokens.integral(at)
    return {"token": int(made), "prompt_token": int(made * PROMPT[0] / PROMPT[1])}
