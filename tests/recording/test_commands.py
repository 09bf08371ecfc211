"""`record` and `replay` as a user runs them: processes of their own, signals, exit codes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import random
import signal
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from kcloud_exporter.cli import main
from kcloud_exporter.recording.reading import open_recording
from tests.recording.conftest import DATA, PODS
from tests.recording.tapes import members_of, put_together, replayed_pages
from tests.sources.servers import serving


@pytest.fixture
async def config(tmp_path: Path) -> AsyncIterator[Path]:
    """A configuration with one exporter, whose page is large and never the same."""

    async def answer(_: web.Request) -> web.Response:
        lines = [PODS.format(n, random.uniform(1, 99)) for n in range(300)]
        return web.Response(text="".join(lines))

    async with serving(answer) as url:
        exporter = {"vendor": "kepler", "targets": [url]}
        data = {
            "global": {"interval": "1s", "timeout": "950ms", "max_staleness": "3s"},
            "clusters": [{"name": "a", "sources": [{"exporter": exporter}]}],
        }
        file = tmp_path / "c.yaml"
        file.write_text(json.dumps(data))
        yield file


async def running(*arguments: str | Path, **environ: str) -> asyncio.subprocess.Process:
    """The program as a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kcloud_exporter"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environ,
    )


async def ran(*arguments: str | Path, **environ: str) -> tuple[int | None, bytes, str]:
    """Exit status, stdout and stderr of a whole run."""
    process = await running(*arguments, **environ)
    out, err = await process.communicate()
    return process.returncode, out, err.decode()


async def test_so_many_cycles_and_the_same_ledger_in_another_process(config: Path, tmp_path: Path) -> None:
    tape = tmp_path / "r.tar"
    code, out, err = await ran("record", "--config.file", config, "--output", tape, "--cycles", "3", PYTHONHASHSEED="1")
    assert (code, err) == (0, "")
    assert f"recorded 3 cycles of 1 source in {tape}".encode() in out
    for seed in ("2", "3"):  # no order of any set may show
        code, page, err = await ran("replay", tape, PYTHONHASHSEED=seed)
        assert (code, err) == (0, "the same ledger, byte for byte, in 3 of 3 cycles\n")
        assert page == replayed_pages(tape)[-1]


async def test_a_duration_ends_it_too(config: Path, tmp_path: Path) -> None:
    code, out, _ = await ran("record", "--config.file", config, "--output", tmp_path / "r.tar", "--duration", "1500ms")
    assert code == 0
    assert b"recorded 2 cycles" in out or b"recorded 1 cycle" in out
    assert open_recording(tmp_path / "r.tar").is_whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_a_whole_file(number: signal.Signals, config: Path, tmp_path: Path) -> None:
    tape = tmp_path / "r.tar"
    process = await running("record", "--config.file", config, "--output", tape)
    await until_pages(tape, 1)
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"kcloud-exporter replay" in out
    recording = open_recording(tape)
    assert recording.is_whole
    assert len(replayed_pages(tape)) == len(recording.pages) > 0


async def until_pages(tape: Path, most: int) -> None:
    """Wait until a growing file has so many cycles; it may not even have its head yet."""

    def pages() -> int:
        return tape.read_bytes().count(b"-page.prom.gz") if tape.exists() else 0

    async with asyncio.timeout(60):
        while await asyncio.to_thread(pages) < most:  # noqa: ASYNC110 - it is another process that writes
            await asyncio.sleep(0.05)


async def test_kill_9_leaves_all_that_was_complete(config: Path, tmp_path: Path) -> None:
    for kill in range(3):
        tape = tmp_path / f"{kill}.tar"
        process = await running("record", "--config.file", config, "--output", tape)
        await until_pages(tape, 2)
        await asyncio.sleep(random.uniform(0.0, 0.5))
        process.kill()
        await process.communicate()
        code, page, err = await ran("replay", tape)
        cycles = len(open_recording(tape).pages)
        assert code == 0
        assert err.splitlines() == [
            f"{tape} was cut off: it has {cycles} whole cycles; what came after is left out",
            f"the same ledger, byte for byte, in {cycles} of {cycles} cycles",
        ]
        assert page == replayed_pages(tape)[-1]


async def test_a_disk_that_is_full_ends_it_with_an_error_and_whole_cycles(config: Path, tmp_path: Path) -> None:
    tape, code = tmp_path / "r.tar", "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    code += "; resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, -1))"
    code += "; from kcloud_exporter.cli import main; raise SystemExit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "record", "--config.file", str(config), "--output", str(tape)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode() == f"kcloud-exporter: {tape} cannot be written: File too large\n"
    assert len(replayed_pages(tape)) > 1
    assert not open_recording(tape).is_whole


class TestReplay:
    def test_a_page_that_differs_is_told_with_its_line(self, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
        members = members_of(tape)
        pages = [at for at, (name, _) in enumerate(members) if name.endswith("-page.json")]
        text = gzip.decompress(members[pages[1] + 1][1])
        lines = text.splitlines(keepends=True)
        at = next(n for n, line in enumerate(lines) if line.startswith(b"kcloud_pod_power_watts{"))
        was, lines[at] = lines[at].decode().strip(), b"kcloud_pod_power_watts 1\n"
        packed = gzip.compress(b"".join(lines))
        event = orjson.loads(members[pages[1]][1])
        event |= {
            "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
            "size": len(packed),
            "crc32": zlib.crc32(packed),
        }
        members[pages[1]] = (members[pages[1]][0], orjson.dumps(event))
        members[pages[1] + 1] = (members[pages[1] + 1][0], packed)

        assert main(["replay", str(put_together(tape.with_name("x.tar"), members))]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert f"not the same ledger: cycle 2 differs first in line {at + 1}:" in told.err
        assert f"recorded: kcloud_pod_power_watts 1\n  replayed: {was}\n" in told.err
        assert "replayed by the same" in told.err

    @pytest.mark.parametrize(
        ("at", "cycle"),
        [("1", 1), ("2", 2), ("2027-01-15T08:00:16", 2), ("2027-01-15T17:00:14.9+09:00", 1), ("2030-01-01", 3)],
    )
    def test_at_a_cycle_or_a_moment(
        self, at: str, cycle: int, tape: Path, capsysbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        assert main(["replay", str(tape), "--at", at]) == 0
        told = capsysbinary.readouterr()
        assert told.out == replayed_pages(tape)[cycle - 1]
        assert told.err == f"the same ledger, byte for byte, in {cycle} of 3 cycles\n".encode()

    @pytest.mark.parametrize(
        ("at", "message"),
        [
            ("4", "has cycles 1 to 3, and no cycle 4"),
            ("0", "no cycle 0"),
            ("2020-01-01", "2027-01-15T08:00:00.000+00:00"),
        ],
    )
    def test_at_a_time_that_is_not_in_it(
        self, at: str, message: str, tape: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["replay", str(tape), "--at", at]) == 1
        assert message in capsys.readouterr().err

    def test_what_if_prints_another_page_and_compares_nothing(
        self, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other, output = tmp_path / "other.yaml", tmp_path / "page"
        other.write_text(json.dumps({**DATA, "ledger": {"idle": "proportional"}}))
        assert main(["replay", str(tape), "--config.file", str(other), "--output", str(output)]) == 0
        told = capsys.readouterr()
        assert (told.out, told.err) == ("", "another ledger from the same answers: 3 cycles\n")
        assert b'kcloud_pod_power_watts{cluster="a",node="n2",namespace="ns",pod="p2",component="cpu"} 100.0' in (
            output.read_bytes()
        )

    def test_other_sources_are_a_mistake_of_the_configuration(
        self, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = tmp_path / "other.yaml"
        other.write_text(json.dumps({"clusters": [{"name": "b", "sources": DATA["clusters"][0]["sources"][1:]}]}))
        assert main(["replay", str(tape), "--config.file", str(other)]) == 2
        assert "3 mistakes in the configuration" in capsys.readouterr().err
        assert main(["replay", str(tmp_path / "nothing.tar")]) == 1
        assert "nothing.tar cannot be read: No such file" in capsys.readouterr().err
