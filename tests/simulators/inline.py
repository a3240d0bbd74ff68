"""An executor without a thread: a simulated plant does one thing at a time, in the same order."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Inline(ThreadPoolExecutor):
    """Does each job at once, in the thread that brings it.

    What a simulation decides does not depend on who waits for whom; that daemons do not block
    their loop is seen where a real one runs.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is whoever waits that hears of it
            done.set_exception(error)
        return done
