"""Canaries in every place where a secret can stand: none is ever printed, whatever fails and whoever asks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
from aiohttp import web

from tests.faults.clusters import page_of
from tests.real.programs import free_port
from tests.sources.servers import serving
from tests.web.program import basic, fetch

NAMES = (
    *("password-file", "token-file", "password-variable", "token-variable", "target-key", "history-password"),
    *("remote-password", "web-password", "original-password", "tls-key", "userinfo"),
)
CANARY = {name: f"cnry{number:02}{os.urandom(6).hex()}" for number, name in enumerate(NAMES)}
SPOKEN = tuple(name for name in NAMES if name not in ("original-password", "tls-key", "userinfo"))
"""Those that the program really uses here."""

TWICE = {"vendor": "dcgm", "targets": ["http://h:1/?key=${KEY}"]}


def leaks(said: str) -> list[str]:
    """Which secrets stand in a text, as they are or in Base64."""
    coded = {name: base64.b64encode(f"u:{secret}".encode()).decode() for name, secret in CANARY.items()}
    return [name for name, secret in CANARY.items() if secret in said or coded[name] in said]


async def echo(request: web.Request) -> web.StreamResponse:
    """An upstream that tells everybody what it was told: credentials come back in bodies, headers and errors."""
    heard = request.headers.get("Authorization", "")
    with contextlib.suppress(ValueError):
        heard += " " + base64.b64decode(heard.removeprefix("Basic ")).decode("utf-8", "replace")
    heard = "".join(c for c in f"{heard} {request.query_string}" if c.isprintable())
    match request.path:
        case "/good":
            return web.Response(body=page_of("good"), content_type="text/plain")
        case "/page":
            return web.Response(text=f"not a page: {heard}\n")
        case "/html":
            return web.Response(text=f"<html>{heard}</html>", content_type="text/html")
        case "/status":
            return web.Response(status=401, reason=heard.strip().replace("\n", " ")[:200], text=heard)
        case "/redirect":
            raise web.HTTPFound(f"http://127.0.0.1:9/?{heard[:200]}")
        case "/type":
            return web.Response(body=b"a 1\n", headers={"Content-Type": f"text/{heard[:60].replace('/', '')}"})
        case "/encoding":
            return web.Response(body=b"a 1\n", headers={"Content-Encoding": heard[:200]})
    return web.json_response({"status": "error", "errorType": "bad", "error": f"no user {heard}"}, status=422)


def configuration(url: str, folder: Path) -> dict[str, Any]:
    (folder / "password").write_text(CANARY["password-file"] + "\n")
    (folder / "token").write_text(CANARY["token-file"])
    file = {"basic_auth": {"username": "u", "password_file": "password"}}
    variable = {"basic_auth": {"username": "u", "password": "${PASSWORD}"}}
    entries: list[dict[str, Any]] = [{"exporter": {"vendor": "dcgm", "name": "good", "targets": [f"{url}/good"]}}]
    for number, path in enumerate(("page", "html", "status", "redirect", "type", "encoding")):
        for kind, access in (
            ("file", file),
            ("variable", variable),
            ("token", {"bearer_token": "${TOKEN}"}),
            ("tokenfile", {"bearer_token_file": "token"}),
        ):
            target = f"{url}/{path}?key=${{KEY}}&n={number}{kind}"
            entries.append({"exporter": {"vendor": "dcgm", "name": f"{path}-{kind}", "targets": [target], **access}})
    entries.append({"exporter": {"vendor": "dcgm", "targets": ["http://127.0.0.1:9/x?api_key=${KEY}"], **file}})
    entries.append({"prometheus": {"url": url, "method": "query", **variable}})
    entries.append({"prometheus": {"url": f"{url}/f", "method": "federate", "name": "second", **file}})
    return {
        "global": {"interval": "2s", "timeout": "1s", "max_staleness": "10s"},
        "clusters": [{"name": "a", "sources": entries}],
        "history": {
            "backend": "prometheus",
            "url": f"{url}/history",
            "basic_auth": {"username": "u", "password": "${HISTORY}"},
        },
        "remote_write": [{"url": f"{url}/push", "basic_auth": {"username": "u", "password": "${REMOTE}"}}],
    }


def environment() -> dict[str, str]:
    return os.environ | {
        "PASSWORD": CANARY["password-variable"],
        "TOKEN": CANARY["token-variable"],
        "KEY": CANARY["target-key"],
        "HISTORY": CANARY["history-password"],
        "REMOTE": CANARY["remote-password"],
        "API_AUTH_USERNAME": "ann",
        "API_AUTH_PASSWORD": CANARY["original-password"],
    }


@contextlib.asynccontextmanager
async def exporter(folder: Path, *arguments: str) -> AsyncIterator[tuple[int, Path]]:
    """The program as a user runs it, logging all that it can; its port and its log."""
    port, log = free_port(), folder / "log"
    command = [sys.executable, "-X", "dev", "-m", "kcloud_exporter", "serve", "--log.level", "debug"]
    command += ["--config.file", str(folder / "c.yaml"), "--storage.path", str(folder / "data")]
    command += ["--web.listen-address", f"127.0.0.1:{port}", *arguments]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, env=environment())
        try:
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(OSError):
                        if (await fetch(port, "/-/ready", auth=basic("ann", CANARY["web-password"])))[0] == 200:
                            break
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.2)
            yield port, log
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def test_no_secret_is_ever_printed(tmp_path: Path) -> None:
    heard: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        heard.append(request.headers.get("Authorization", "") + request.query_string)
        return await echo(request)

    hashed = bcrypt.hashpw(CANARY["web-password"].encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{ann: '{hashed}'}}")
    good = basic("ann", CANARY["web-password"])
    async with serving(answer) as url:
        (tmp_path / "c.yaml").write_text(json.dumps(configuration(url, tmp_path)))
        async with exporter(tmp_path, "--web.config.file", str(tmp_path / "web.yml")) as (port, log):
            _, _, document = await fetch(port, "/api/v1/openapi.json", auth=good, Accept_Encoding="identity")
            paths = [path for path in json.loads(document)["paths"] if "/events/" not in path and "/stream" not in path]
            asked = ["/", "/metrics", "/docs", "/live", "/-/healthy", "/-/ready", "/no/such", *paths]
            asked += [path + "?nonsense=" + CANARY["web-password"][:4] for path in paths[:5]]
            asked += ["/api/v1/monitoring/timeseries/power?period=1h", "/api/v1/explain?series=kcloud_source_up"]
            said: dict[str, str] = {}
            for path in asked:
                for auth in (good, None, basic("ann", "wrong")):
                    _, headers, body = await fetch(port, path, auth=auth, Accept_Encoding="identity")
                    said[f"{path} {auth is good}"] = f"{headers} {body.decode('utf-8', 'replace')}"
            await asyncio.sleep(2.5)  # one more cycle, and one more push
            page = said["/metrics True"]
        for command in ("check", "snapshot"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kcloud_exporter", command, "--config.file", str(tmp_path / "c.yaml")),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
            output, _ = await process.communicate()
            said[command] = output.decode()
        said["log"] = log.read_text()

    used = " ".join(heard) + " ".join(
        base64.b64decode(each.removeprefix("Basic ").split("key=")[0]).decode() for each in heard if each[:5] == "Basic"
    )
    assert [name for name in SPOKEN if name != "web-password" and CANARY[name] not in used] == [], "all were in use"
    assert page.count("kcloud_source_failures_total{") > 20, "and much failed"
    assert {place: found for place, text in said.items() if (found := leaks(text))} == {}
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert leaks(stored.decode("latin-1")) == []


async def test_a_configuration_that_is_wrong_is_told_without_its_secrets(tmp_path: Path) -> None:
    entry = {"vendor": "dcgm", "targets": [f"http://u:{CANARY['userinfo']}@h:1/"], "bearer_token": "${TOKEN}"}
    for number, wrong in enumerate(
        (
            {"clusters": [{"name": "a", "sources": [{"exporter": entry}]}]},
            {"clusters": [{"name": "a", "sources": [{"exporter": {**entry, "targets": ["http://h:1"], "oops": 1}}]}]},
            {"clusters": [{"name": "a", "sources": [{"prometheus": {"url": "http://h:1", "bearer_token": "${TOKEN}",
             "basic_auth": {"username": "u", "password": "${PASSWORD}"}}}]}]},
            {"clusters": [{"name": "a", "sources": [{"exporter": {**TWICE, "name": "a"}}, {"exporter": TWICE}]}]},
        )
    ):  # fmt: skip
        file = tmp_path / f"{number}.yaml"
        file.write_text(json.dumps(wrong))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kcloud_exporter", "check", "--config.file", str(file)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
        )
        output, _ = await process.communicate()
        assert process.returncode == 2
        assert leaks(output.decode()) == [], output
