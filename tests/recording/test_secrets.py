"""No credential comes into a recording, on whatever way."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from aiohttp import web

from kcloud_exporter.config.load import parse_config
from kcloud_exporter.recording.live import Live
from kcloud_exporter.recording.reading import open_recording
from kcloud_exporter.recording.replay import Replay
from tests.recording.tapes import events_in, members_of, replayed_pages
from tests.sources.servers import serving

CANARIES = [f"canary-{n}-Zq8" for n in range(6)]


async def test_canaries_are_nowhere_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(CANARIES[0] + "\n")
    (tmp_path / "token").write_text(CANARIES[1])
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.yaml").write_text(
        "vendor: mine\nexporter: ours\nnode: [node]\nseries:\n"
        "  - {to: node_wall_power_watts, from: [my_watts], unit: W, meter: dcmi}\n"
    )
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", "") + request.query_string)
        if request.path.startswith("/api"):  # it tells the password in its error
            said = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
            return web.json_response({"status": "error", "errorType": "bad", "error": f"no user {said}"}, status=422)
        return web.Response(text='my_watts{node="n1"} 5\n')

    def exporter(url: str, **more: Any) -> dict[str, Any]:
        return {"exporter": {"vendor": "mine", "targets": [url], **more}}

    async with serving(answer) as url:
        environ = {"P": CANARIES[2], "T": CANARIES[3], "Q": CANARIES[4]}
        basic = {"username": "u", "password": "${P}"}
        data = {
            "global": {"timeout": "2s"},
            "clusters": [
                {
                    "name": "a",
                    "sources": [
                        exporter(f"{url}/1", basic_auth={"username": "u", "password_file": "password"}),
                        exporter(f"{url}/2", bearer_token_file="token", name="second"),
                        exporter(f"{url}/3?target=bmc-1&key=${{Q}}", bearer_token="${T}", name="third"),
                        exporter("http://127.0.0.1:1/?api_key=${Q}", name="down", tls={"server_name": CANARIES[5]}),
                        {"prometheus": {"url": url, "method": "query", "basic_auth": basic}},
                    ],
                }
            ],
            "history": {"backend": "prometheus", "url": f"http://{CANARIES[5]}"},
            "remote_write": [{"url": f"http://{CANARIES[5]}/push", "basic_auth": basic}],
            "storage": {"path": f"/{CANARIES[5]}"},
            "vendors_dir": "tables",
        }
        live = Live(parse_config(data, environ, tmp_path), tmp_path / "r.tar")
        pages = [await live.tick(), await live.tick()]
        await live.close()
    sent = " ".join(asked)
    assert all(c in sent for c in (CANARIES[1], CANARIES[3], CANARIES[4])), "they were used"
    content = b"".join(name.encode() + of for name, of in members_of(tmp_path / "r.tar"))
    for canary in CANARIES:
        assert canary.encode() not in content
        assert base64.b64encode(f"u:{canary}".encode()) not in content
    assert str(tmp_path).encode() not in content, "no path of this machine either"

    messages = [o["message"] for e in events_in(tmp_path / "r.tar") for o in e.get("outcomes", []) if "message" in o]
    assert "bad: no user u:<secret>" in messages, "what failed is told without them"
    assert replayed_pages(tmp_path / "r.tar") == pages
    assert b'kcloud_node_wall_power_watts{cluster="a",node="n1"} 5.0' in pages[-1]
    config = Replay(open_recording(tmp_path / "r.tar")).config
    assert [s.exporter.targets[0].removeprefix(url) for s in config.clusters[0].sources if s.exporter] == [
        "/1",
        "/2",
        "/3?target=bmc-1",
        "http://127.0.0.1:1/",
    ]
