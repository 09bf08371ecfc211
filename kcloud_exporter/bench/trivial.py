"""Trivial: the least that an aiohttp server can do, to compare with. It tells where it is, and ends with stdin."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

_BODY = b'{"ok": true}'


async def _answer(_: web.Request) -> web.Response:
    return web.Response(body=_BODY, content_type="application/json")


async def main() -> None:
    """Serve one route until nobody holds stdin open any more."""
    app = web.Application()
    app.add_routes([web.get("/", _answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
