"""temporary"""
from __future__ import annotations
import ssl
from aiohttp import web
from kcloud_exporter.web.status import WebDeps

def build_app(deps: WebDeps) -> web.Application:
    async def metrics(request: web.Request) -> web.Response:
        om="openmetrics" in request.headers.get("Accept","")
        gz="gzip" in request.headers.get("Accept-Encoding","")
        body=await deps.page(om,gz,frozenset(request.query.getall("collect[]",[])),frozenset(request.query.getall("cluster",[])))
        h={"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" if om else "text/plain; version=0.0.4; charset=utf-8"}
        if gz: h["Content-Encoding"]="gzip"
        return web.Response(body=body,headers=h)
    async def ready(request: web.Request) -> web.Response:
        s=deps.status(); return web.Response(text=s.ready_reason or "ready", status=200 if s.ready else 503)
    async def healthy(request: web.Request) -> web.Response: return web.Response(text="ok")
    async def index(request: web.Request) -> web.Response: return web.Response(text=str(deps.status()))
    async def reload(request: web.Request) -> web.Response:
        p=await deps.reload(); return web.Response(text="\n".join(p), status=500 if p else 200)
    app=web.Application()
    app.add_routes([web.get("/metrics",metrics),web.get("/-/ready",ready),web.get("/-/healthy",healthy),web.get("/",index),web.post("/-/reload",reload)])
    return app

async def start_site(app: web.Application, host: str, port: int, ssl_context: ssl.SSLContext|None) -> web.AppRunner:
    r=web.AppRunner(app); await r.setup(); await web.TCPSite(r,host,port,ssl_context=ssl_context).start(); return r
