"""What pytest needs beside the harness. The launch tests are launch_testing's to run."""

from contextlib import ExitStack

import pytest
from harness import FIGURES, Bench
from process import Node

collect_ignore = ["launched"]


@pytest.fixture
def stack():
    """Ends what was entered in it, the last one first, when the test has ended."""
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
    """The figures that the tests measured."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
