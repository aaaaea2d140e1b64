"""The tests and the node use the requested middleware. The other tests would not notice a wrong one."""

import os
from pathlib import Path

import pytest
import rclpy
from ament_index_python.resources import get_resources
from harness import tell


def loaded(process):
    """Returns the installed middlewares whose libraries a process has loaded, from /proc."""
    names = {Path(line.split()[-1]).name for line in Path(f"/proc/{process}/maps").read_text().splitlines()}
    return {name for name in get_resources("rmw_typesupport") if f"lib{name}.so" in names}


def test_the_node_uses_the_middleware_of_these_tests(start):
    node, _ = start()
    tell(f"middleware: {rclpy.get_rmw_implementation_identifier()}")
    assert loaded(node.process.pid) == loaded("self") != set()


def test_the_middleware_is_the_requested_one():
    wanted = os.environ.get("RMW_IMPLEMENTATION")
    if not wanted:
        pytest.skip("RMW_IMPLEMENTATION asks for none: the default is used")
    assert rclpy.get_rmw_implementation_identifier() == wanted
