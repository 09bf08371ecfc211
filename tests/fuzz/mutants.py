"""Changes to bytes and to trees of data, from seeds, so that a failure can be had again."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

CORPUS: Final = Path(__file__).parent / "corpus"
TIMES: Final = int(os.environ.get("KCLOUD_TEST_MUTANTS", "1"))
"""How many times as much as in the suite. The long form is 100."""
_BYTES: Final = (
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\r",
    b"\n",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"1e999",
    b"[" * 500,
)
_VALUES: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        10**400,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "x" * 5000,
        "\x00",
        "\ud800",
        "${X}",
        "~(",
    ),
    *(
        [],
        {},
        [None],
        [[]],
        {"a": None},
        {1: 2},
        {None: []},
        "-5s",
        "999999999999d",
        "http://",
        "http://h:99999",
        "(?P<",
    ),
)


def bytes_from(seed: int, base: bytes) -> bytes:
    """One to four changes: cut, doubled, flipped, put in, left out."""
    source, body = random.Random(seed), bytearray(base)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(body) + 1)
        match source.randrange(6):
            case 0:
                del body[at:]
            case 1:
                body[at:at] = body[source.randrange(len(body) + 1) :][: source.randint(1, 60)]
            case 2 if at < len(body):
                body[at] ^= 1 << source.randrange(8)
            case 3:
                del body[at : at + source.randint(1, 20)]
            case _:
                body[at:at] = source.choice(_BYTES)
    return bytes(body)


def trees_from(seed: int, base: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """Copies in which one to three places hold something else, are gone, or have another name."""
    source = random.Random(seed)
    for _ in range(count):
        tree = copy.deepcopy(base)
        for _ in range(source.randint(1, 3)):
            _change(source, tree)
        yield tree


def _change(source: random.Random, tree: dict[str, Any]) -> None:
    place: Any = tree
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = source.choice(keys)
        inner = place[key]
        if isinstance(inner, dict | list) and inner and source.random() < 0.8:
            place = inner
            continue
        what = source.random()
        if what < 0.15:
            del place[key]
        elif what < 0.25 and isinstance(place, dict):
            place[str(key) + "x"] = place.pop(key)
        elif what < 0.3 and isinstance(place, list):
            place.append(copy.deepcopy(inner))
        else:
            place[key] = copy.deepcopy(source.choice(_VALUES))
        return
