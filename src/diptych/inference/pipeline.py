"""Work done ahead and behind: while the network computes, other threads read the next images and write the last."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def look_ahead(
    threads: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Yield the results in order, at most `depth` of them begun before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(threads.submit(work, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class Behind:
    """Hands work to threads and holds at most `depth` pieces of it; an error comes up at the next piece or the end."""

    def __init__(self, threads: ThreadPoolExecutor, depth: int) -> None:
        self._threads, self._depth = threads, depth
        self._waiting: deque[Future[None]] = deque()

    def do(self, work: Callable[[], None]) -> None:
        """Have the work done, soon."""
        self._waiting.append(self._threads.submit(work))
        while len(self._waiting) > self._depth:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Wait for all of it."""
        while self._waiting:
            self._waiting.popleft().result()
