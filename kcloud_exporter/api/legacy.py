"""Legacy: paths that the original kept for its own past lead to their successors; its tokens are no more."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from yarl import URL

from kcloud_exporter.api.routes import PREFIX
from kcloud_exporter.web.operations import Handler
from kcloud_exporter.web.problems import problem

SUCCESSORS: Final = {
    "/health": "/system/health",
    "/info": "/system/info",
    "/cluster/info": "/clusters",
    "/gpu/info": "/accelerators/gpus",
    "/gpu/metrics": "/accelerators/gpus",
    "/gpu/summary": "/accelerators/gpus/summary",
    "/gpu/temperature": "/accelerators/gpus",
    "/power/gpu": "/accelerators/gpus",
    "/power/gpu/{instance}": "/accelerators/gpus/{instance}/power",
    "/power/timeseries": "/monitoring/timeseries/power",
    "/power/export": "/export/power",
    "/power/pods": "/infrastructure/pods",
    "/power/pods/{namespace}/{pod_name}": "/infrastructure/pods/{namespace}/{pod_name}/power",
    "/power/cluster/total": "/monitoring/power",
    "/power/cluster/timeseries": "/monitoring/timeseries/power",
}
"""Old path → its successor, both below the prefix. The query goes along."""
_NO_TOKENS: Final = "tokens are not issued: send the credentials of the web configuration with each request"


def _leads_to(successor: str) -> Handler:
    async def redirect(request: web.Request) -> web.Response:
        segments = [
            request.match_info[part[1:-1]] if part.startswith("{") else part for part in successor.split("/")[1:]
        ]
        target = URL(PREFIX).joinpath(*segments)
        query = request.rel_url.raw_query_string
        location = target.raw_path + (f"?{query}" if query else "")
        return web.Response(status=308, headers={"Location": location, "Deprecation": "@0"})

    return redirect


async def _no_tokens(_: web.Request) -> web.Response:
    return problem(410, _NO_TOKENS)


def legacy_routes() -> list[web.AbstractRouteDef]:
    """Redirects of the old paths, and a word to those who ask for a token."""
    return [
        *(web.get(PREFIX + old, _leads_to(new)) for old, new in SUCCESSORS.items()),
        *(web.post(f"{PREFIX}/auth/{name}", _no_tokens) for name in ("login", "token")),
    ]
