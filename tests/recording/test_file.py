"""A recording's file: torn anywhere it is read as far as it goes, and what is wrong in it is told with its place."""

from __future__ import annotations

import gzip
import io
import os
import resource
import signal
import tarfile
import zlib
from pathlib import Path

import orjson
import pytest

from kcloud_exporter.errors import RecordingError
from kcloud_exporter.recording.reading import open_recording
from kcloud_exporter.recording.replay import Replay, replay_to
from kcloud_exporter.recording.tape import Tape
from tests.recording.tapes import changed, members_of, put_together, replayed_pages


def told(path: Path) -> str:
    """The error that a replay ends with."""
    with pytest.raises(RecordingError) as stopped:
        list(Replay(open_recording(path)).cycles())
    return str(stopped.value)


def test_standard_tools_open_it(tape: Path) -> None:
    members = dict(members_of(tape))
    assert orjson.loads(members["recording.json"])["schema"] == 1
    assert b"clusters:" in members["config.yaml"]
    assert members["000000003-answer.body"].startswith(b"kepler_node_cpu_watts")
    (page,) = [of for name, of in members.items() if name.endswith("page.prom.gz")][-1:]
    assert gzip.decompress(page) == replayed_pages(tape)[-1]
    assert tape.stat().st_mode & 0o777 == 0o600, "names of pods are nobody else's business"


def test_it_is_whole_and_gives_the_same_pages(tape: Path) -> None:
    recording = open_recording(tape)
    assert recording.is_whole
    assert [cycle for cycle, _ in recording.pages] == [1, 2, 3]
    assert (
        b'kcloud_pod_power_watts{cluster="a",node="n2",namespace="ns",pod="p2",component="cpu"} 12.0'
        in (replayed_pages(tape)[-1])
    )


def test_a_file_torn_anywhere_is_read_up_to_its_last_whole_cycle(tape: Path) -> None:
    content, pages = tape.read_bytes(), replayed_pages(tape)
    recording = open_recording(tape)
    torn = tape.with_name("torn.tar")
    found = set()
    for size in range(recording.begin, len(content), 2111):
        torn.write_bytes(content[:size])
        seen = replayed_pages(torn)
        assert seen == pages[: len(seen)]
        found.add((len(seen), open_recording(torn).is_whole))
    assert {(0, False), (1, False), (2, False), (3, False)} <= found
    for size in range(0, recording.begin, 301):
        torn.write_bytes(content[:size])
        if size <= recording.begin - 512:
            assert "no recording" in told(torn)


def test_a_recording_without_a_cycle_says_so(tape: Path) -> None:
    content = tape.read_bytes()
    tape.write_bytes(content[: open_recording(tape).begin])
    with pytest.raises(RecordingError, match="holds no whole cycle"):
        replay_to(tape)


def test_replaying_to_a_cycle_gives_the_pipeline_as_it_stood_then(tape: Path) -> None:
    replay, at = replay_to(tape, 2)
    assert at.cycle == replay.pipeline.cycles == 2
    assert at.snapshot.timestamp == 1_800_000_015.0
    with pytest.raises(RecordingError, match="has cycles 1 to 3, and no cycle 4"):
        replay_to(tape, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"clusters: []\n" * 100, "it is no tar file"),
        (gzip.compress(os.urandom(4000)), "it is compressed: unpack it first"),
    ],
)
def test_what_is_no_recording_says_so(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(content)
    assert message in told(file)


def test_another_tar_file_is_no_recording(tmp_path: Path) -> None:
    assert "no recording" in told(put_together(tmp_path / "x.tar", [("readme.txt", b"hello")]))


def test_another_schema_is_told_with_the_program_that_made_it(tape: Path) -> None:
    newer = changed(tape, "recording.json".__eq__, lambda of: of.replace(b'"schema": 1', b'"schema": 2'))
    assert "has schema 2, made by kcloud-exporter" in told(newer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/cron.d/x", "is nothing that a recording holds here"),
        ("/etc/passwd", "is nothing that a recording holds here"),
        ("000000007-begun.json", "is nothing that a recording holds here"),
        ("\udcff", "is nothing that a recording holds here"),
        ("000000001-../x.json", "it holds the event 'begun'"),
    ],
)
def test_members_with_other_names_are_refused_and_nothing_is_unpacked(name: str, message: str, tape: Path) -> None:
    members = members_of(tape)
    at = next(at for at, (of, _) in enumerate(members) if of.startswith("000000001"))
    members[at] = (name, members[at][1])
    assert message in told(put_together(tape.with_name("x.tar"), members))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind: bytes, tape: Path) -> None:
    with tarfile.open(tape.with_name("x.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members_of(tape)[:2]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("000000001-begun.json")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    assert "is no plain file" in told(tape.with_name("x.tar"))


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        ("begun", b"{", b"[", "begun.json"),
        ("begun", b'"source":0', b'"source":9', "there is no source 9"),
        ("begun", b'"source":0', b'"source":-1', "there is no source -1"),
        ("begun", b'"source":0', b'"source":0,"x":1', "unknown field `x`"),
        ("begun", b"begun", b"compacted", "it holds the event 'compacted'"),
        ("answer", b'"part":0', b'"part":7', "this source has no target 7"),
        ("answer", b'"crc32":', b'"crc32":1', "is damaged: its checksum is another"),
        ("joined", b'"source":1', b'"source":0', "there is nothing of the kind to join"),
        ("joined", b'"steps":[2]', b'"steps":[1]', "there is nothing of the kind to join"),
        ("cycle", b'"step":2', b'"step":99', "step 99 of source 0 gave no answer"),
        ("cycle", b'"name":"kepler@k1:1"', b'"name":"x"', "source 0 has no endpoint 'x'"),
        ("cycle", b'"now":', b'"now":1e99,"x":', "Expected"),
        ("cycle", b'"outcome":"scrape"', b'"outcome":"nope"', "Invalid value 'nope'"),
        ("page", b'"cycle":1', b'"cycle":5', "the page of cycle 5 is out of order"),
    ],
)
def test_events_that_cannot_be_are_told_with_their_place(
    kind: str, old: bytes, new: bytes, message: str, tape: Path
) -> None:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    bad = changed(tape, lambda name: name.endswith(f"-{kind}.json"), change)
    error = told(bad)
    assert message in error
    assert f"{bad}, at byte " in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda of: of + b"x: &a [1]\ny: *a\n", "no recording holds aliases"),
        (
            lambda of: of.replace(b"      vendor:", b"      bearer_token_file: /x\n      vendor:"),
            "bearer_token_file: no",
        ),
        (lambda of: of + b"vendors_dir: /etc\n", "vendors_dir: no recording holds such keys"),
        (lambda of: of.replace(b"body_bytes: 67108864", b"body_bytes: 1TB"), "limits.body_bytes"),
        (lambda of: of.replace(b"vendor: kepler", b"vendor: ${HOME}"), "the environment variable HOME is not set"),
        (lambda of: of.replace(b"clusters:", b"klusters:"), "unknown key"),
        (lambda _: b"- just\n- a list\n", "this is no configuration"),
        (lambda _: b"{" * 100_000, "config.yaml"),
        (lambda _: b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_configuration_that_no_recorder_writes_is_refused(change: object, message: str, tape: Path) -> None:
    assert callable(change)
    assert message in told(changed(tape, "config.yaml".__eq__, change))


def test_a_compressed_bomb_costs_its_source_the_cycle_as_it_would_have_then(tape: Path) -> None:
    members = members_of(tape)
    bomb = gzip.compress(b"a 1\n" * 40_000_000, 9)
    body = next(at for at, (name, _) in enumerate(members) if name.endswith("-answer.body"))
    event = orjson.loads(members[body - 1][1])
    event |= {"encoding": "gzip", "size": len(bomb), "crc32": zlib.crc32(bomb)}
    members[body - 1] = (members[body - 1][0], orjson.dumps(event))
    members[body] = (members[body][0] + ".gz", bomb)
    assert "gave no answer" in told(put_together(tape.with_name("x.tar"), members))


def test_a_member_that_claims_to_be_huge_is_not_read(tape: Path) -> None:
    content = bytearray(tape.read_bytes())
    at = open_recording(tape).begin
    info = tarfile.TarInfo("000000001-begun.json")
    info.size = 1 << 40
    content[at : at + 512] = info.tobuf(tarfile.GNU_FORMAT)
    tape.write_bytes(content)
    assert not open_recording(tape).pages, "it is cut off, as far as anybody can tell"
    os.truncate(tape, at + 512 + (1 << 27))
    info.size = 1 << 27
    with tape.open("r+b") as file:
        file.seek(at)
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
    assert "the limit is" in told(tape)


def test_damage_in_the_middle_is_no_torn_end(tape: Path) -> None:
    content = bytearray(tape.read_bytes())
    content[open_recording(tape).begin + 1024 + 100] ^= 0xFF
    tape.write_bytes(content)
    assert "the file is damaged: here begins no member" in told(tape)


def test_a_file_that_is_there_is_not_overwritten(tape: Path) -> None:
    with pytest.raises(RecordingError, match="is there already"):
        Tape(tape)


def test_a_full_disk_leaves_a_file_of_whole_members(tmp_path: Path) -> None:
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    tape = Tape(tmp_path / "r.tar")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        tape.add("one", b"1" * 2000)
        with pytest.raises(RecordingError, match=r"r\.tar cannot be written: File too large"):
            tape.add("two", b"2" * 3000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    tape.add("three", b"3")
    tape.close()
    assert members_of(tmp_path / "r.tar") == [("one", b"1" * 2000), ("three", b"3")]
