"""Processor time for one window: the next always has all of it, and the kernel is rarely asked."""

import resource

import pytest

from edge_runtime.inference.allowance import Allowance, limit_cpu, soft_limit

# Processor time after each window; where the process would end, as often as the kernel is told.
WINDOWS: dict[str, tuple[list[float], list[int]]] = {
    "a fresh process": ([], [16]),
    "windows that take nothing": ([0.0, 0.0], [16]),
    "just under half of it taken": ([4.9], [16]),
    "half of it taken: given anew": ([5.0], [16, 21]),
    "given anew, it counts from there": ([5.0, 9.9, 10.0], [16, 21, 26]),
    "one that took nearly all": ([15.5], [16, 31]),
    "a fraction of a second is not lost": ([7.7], [16, 23]),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_allowance(name: str) -> None:
    """Each row is what windows took of ten seconds, and which ends the kernel was told."""
    spent_s, ends = WINDOWS[name]
    clock, told = iter([0.0, *spent_s]), list[int]()
    allowance = Allowance(10, lambda: next(clock), told.append)
    for _ in spent_s:
        allowance.renew()
    assert told == ends


def test_next_window_has_it_all() -> None:
    """Whenever a window begins, all of the allowance is left, and at most as much again less."""
    spent = [tenth / 10 for tenth in range(1000)]
    clock, told = iter(spent), list[int]()
    allowance = Allowance(3, lambda: next(clock), told.append)
    for spent_s in spent[1:]:
        allowance.renew()
        assert 3.0 < told[-1] - spent_s <= 3.0 + 1.5 + 1.0
    assert len(told) < 70


LIMITS: dict[str, tuple[int, int, int]] = {
    "no end is set for the process": (10, resource.RLIM_INFINITY, 10),
    "its end is later": (10, 11, 10),
    "its end is sooner": (12, 11, 11),
}


@pytest.mark.parametrize("name", LIMITS)
def test_soft_limit(name: str) -> None:
    """Each row is an end, the last that the kernel allows, and which is set."""
    bound_s, hard, expected = LIMITS[name]
    assert soft_limit(bound_s, hard) == expected


def test_kernel_knows() -> None:
    """The kernel holds this process to the limit, and its last one stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit_cpu(10**6)
    found = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    assert found == (soft_limit(10**6, hard), hard)
