"""SIGINT and SIGTERM end the node with exit code 0 at any time."""

import signal
import time

import pytest
from harness import percentiles, tell
from process import Node
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import SetParameters

SIGNALS = [signal.SIGINT, signal.SIGTERM]
# Seconds after the first instruction. The node then loads libraries, joins ROS 2, opens the model, and begins to spin.
MOMENTS = [0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_node_from_its_first_instruction_on(number):
    codes, waits = {}, []
    for moment in MOMENTS:
        begun = time.monotonic()
        node = Node(wait=False)
        while not node.takes(*SIGNALS):
            assert node.process.poll() is None, node.text()
        waits.append((time.monotonic() - begun) * 1e3)
        time.sleep(moment)
        codes[moment] = node.stop(number)
    tell(f"{number.name} is handled {percentiles(waits)} ms after the start")
    assert set(codes.values()) == {0}, codes


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_working_node(start, number):
    node, bench = start()
    bench.start_tracking()
    begun = time.monotonic()
    assert node.stop(number) == 0, node.text()
    assert time.monotonic() - begun < 2.0


def test_two_signals_at_once_end_the_node(start):
    node, bench = start()
    bench.start_tracking()
    node.process.send_signal(signal.SIGTERM)
    assert node.stop(signal.SIGINT) == 0, node.text()


def test_a_signal_ends_a_node_that_opens_a_model(stack, start):
    """ONNX Runtime crashes if the process ends while a thread opens a network."""
    codes = []
    for turn in range(10):
        node, bench = start(parameters={"num_threads": 1})
        for threads in (2, 1, 2, 1):
            value = ParameterValue(type=2, integer_value=threads)
            request = SetParameters.Request(parameters=[Parameter(name="num_threads", value=value)])
            answer = bench.call(SetParameters, "/tracker/set_parameters", request)
            assert answer.results[0].successful, answer.results[0].reason
        time.sleep(turn * 0.008)
        codes.append(node.stop(signal.SIGINT))
        stack.close()
    assert set(codes) == {0}, codes
