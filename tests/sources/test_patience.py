"""Nobody waits twice for one that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kcloud_exporter.sources.patience import Patience, Verdict


class People:
    """Who answers at once, who hangs until a given moment, and how often each was asked."""

    def __init__(self, *hanging: str) -> None:
        self.hanging, self.asked, self.released = set(hanging), dict[str, int](), asyncio.Event()

    def question(self, name: str) -> Callable[[], Awaitable[str]]:
        async def ask() -> str:
            self.asked[name] = self.asked.get(name, 0) + 1
            if name not in self.hanging:
                return "here"
            await self.released.wait()
            return "failed"

        return ask

    def all(self, *names: str) -> dict[str, Callable[[], Awaitable[str]]]:
        return {name: self.question(name) for name in names}


def judge(answer: str) -> Verdict:
    return "failed" if answer == "failed" else "slow" if answer == "late" else "prompt"


async def settle(patience: Patience[str, str], people: People) -> dict[str, str]:
    """A round in which those that hang fail in the end."""
    people.released.set()
    try:
        return await patience.round(people.all("a", "b"))
    finally:
        people.released.clear()


async def test_a_first_hang_is_waited_for_and_the_next_is_not() -> None:
    people: People = People("b")
    patience: Patience[str, str] = Patience(judge)
    assert await settle(patience, people) == {"a": "here", "b": "failed"}

    for _ in range(3):
        assert await asyncio.wait_for(patience.round(people.all("a", "b")), 5) == {"a": "here"}
    assert people.asked == {"a": 4, "b": 2}, "one question to the one that hangs is out, and no second"
    assert patience.waits_for("b")

    people.released.set()
    await asyncio.sleep(0)
    assert await patience.round(people.all("a", "b")) == {"a": "here", "b": "failed"}
    await patience.close()


async def test_one_that_answers_again_is_trusted_again() -> None:
    people = People("b")
    patience: Patience[str, str] = Patience(judge)
    await settle(patience, people)
    people.hanging.clear()
    assert await patience.round(people.all("a", "b")) == {"a": "here", "b": "here"}
    people.hanging.add("b")
    people.released.set()
    assert await patience.round(people.all("a", "b")) == {"a": "here", "b": "failed"}
    await patience.close()


async def test_the_doubtful_are_asked_in_turns_and_never_too_many() -> None:
    names = [f"n{at}" for at in range(6)]
    people = People(*names)
    patience: Patience[str, str] = Patience(judge, most_failed=2)
    people.released.set()
    await patience.round(people.all(*names))
    assert set(people.asked.values()) == {1}
    for _ in range(3):
        await patience.round(people.all(*names))
    assert set(people.asked.values()) == {2}
    await patience.close()


async def test_closing_takes_questions_back() -> None:
    people = People("b")
    patience: Patience[str, str] = Patience(judge)
    await settle(patience, people)
    await patience.round(people.all("a", "b"))
    await patience.close()
    assert not patience.waits_for("b")


async def test_one_that_is_slow_is_asked_each_time_and_never_waited_for() -> None:
    released, asked = asyncio.Event(), 0

    async def slow() -> str:
        nonlocal asked
        asked += 1
        await released.wait()
        return "late"

    async def prompt() -> str:
        return "here"

    patience: Patience[str, str] = Patience(judge, most_failed=0)
    released.set()
    assert await patience.round({"a": prompt, "b": slow}) == {"a": "here", "b": "late"}
    released.clear()
    assert await patience.round({"a": prompt, "b": slow}) == {"a": "here"}
    released.set()
    await asyncio.sleep(0)
    assert await patience.round({"a": prompt, "b": slow}) == {"a": "here", "b": "late"}
    assert asked == 2
    await patience.close()
