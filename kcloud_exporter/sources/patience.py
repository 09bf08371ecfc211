"""Patience: ask many at once, and wait only for those that have shown that they answer.

Who hung, failed or took long last time is asked as well, but nobody waits for it: its answer, or its failure, is
taken in whenever it comes, at the latest in the next round. So one that hangs costs the others one round, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Final, Generic, Literal, TypeVar

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")
Verdict = Literal["prompt", "slow", "failed"]
SLOW_RATIO: Final = 0.3
"""An answer that took more than this part of the time that it may take is a slow one."""
LEAST_SECONDS: Final = 0.5
"""How long a round lasts at the least while anybody has not answered: the doubtful get this much of a chance."""


class Patience(Generic[_K, _T]):
    """Owns the questions that are still out. `judge` says what an answer makes of its giver.

    At most `most_failed` of those that failed are asked at a time, so that they cannot take all the connections.
    """

    def __init__(self, judge: Callable[[_T], Verdict], most_failed: int = 32) -> None:
        self._judge, self._most_failed = judge, most_failed
        self._asked: dict[_K, asyncio.Task[_T]] = {}
        self._failed: dict[_K, None] = {}
        self._slow: set[_K] = set()

    def waits_for(self, key: _K) -> bool:
        """Whether a question to this one is still out."""
        return key in self._asked

    async def round(self, ask: Mapping[_K, Callable[[], Awaitable[_T]]]) -> dict[_K, _T]:
        """Ask everybody who is not still being asked; the answers that have come, old questions' included.

        The questions bound their own time; the trusted are waited for until they end.
        """
        chances = self._most_failed - sum(key in self._failed for key in self._asked)
        due = [key for key in self._failed if key in ask and key not in self._asked][: max(chances, 0)]
        for key in [*(key for key in ask if key not in self._asked and key not in self._failed), *due]:
            if key in self._failed:  # to the end of the queue, so that each of them gets its turn
                self._failed[key] = self._failed.pop(key)
            self._asked[key] = asyncio.ensure_future(ask[key]())
        trusted = [task for key, task in self._asked.items() if key not in self._failed and key not in self._slow]
        least = asyncio.get_running_loop().time() + LEAST_SECONDS
        if trusted:
            await asyncio.wait(trusted)
        left = least - asyncio.get_running_loop().time()
        if left > 0 and (pending := [task for task in self._asked.values() if not task.done()]):
            await asyncio.wait(pending, timeout=left)
        answers: dict[_K, _T] = {}
        for key in [key for key, task in self._asked.items() if task.done()]:
            answers[key] = self._asked.pop(key).result()
            verdict = self._judge(answers[key])
            self._failed.pop(key, None)
            self._slow.discard(key)
            if verdict == "failed":
                self._failed[key] = None
            elif verdict == "slow":
                self._slow.add(key)
        return answers

    async def close(self) -> None:
        """Take back what is still out."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        self._asked.clear()
