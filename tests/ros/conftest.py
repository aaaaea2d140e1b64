"""Fixtures of the tests. Pytest does not run the launch tests; launch_testing does."""

from contextlib import ExitStack

import pytest
from harness import FIGURES, Bench
from process import Node

collect_ignore = ["launched"]


@pytest.fixture
def stack():
    """Returns a stack of contexts. They are closed after the test, the last one first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack):
    """Starts a node and a bench for it: start(scene=…, reliable=…, **options of Node)."""

    def start(scene=None, reliable=False, bench=None, arguments=(), **options):
        node = stack.enter_context(Node(*arguments, **options))
        bench = Bench(scene=scene, reliable=reliable, **(bench or {}))
        stack.callback(bench.close)
        bench.wait_for_the_node()
        return node, bench

    return start


def pytest_terminal_summary(terminalreporter):
    """Prints the measured figures."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
