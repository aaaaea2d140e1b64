"""Replaces the parts of `launch` and `launch_ros` that this package's launch files use, for machines without them.
Actions keep their arguments, so that a test can check what a launch file does with its arguments."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace


def action(name):
    """Returns a class that keeps its arguments."""

    def __init__(self, *arguments, **options):
        self.arguments = arguments
        self.options = options

    return type(name, (), {"__init__": __init__, "__repr__": lambda self: f"{name}({self.arguments}, {self.options})"})


class LaunchConfiguration:
    """The value of a launch argument."""

    def __init__(self, name):
        self.name = name

    def perform(self, context):
        return context.launch_configurations[self.name]


MODULES = {
    "launch": ["LaunchDescription"],
    "launch.actions": [
        *("DeclareLaunchArgument", "EmitEvent", "ExecuteProcess", "IncludeLaunchDescription", "LogInfo"),
        *("OpaqueFunction", "RegisterEventHandler", "SetEnvironmentVariable", "TimerAction"),
    ],
    "launch.event_handlers": ["OnProcessExit", "OnProcessIO"],
    "launch.events": ["Shutdown", "matches_action"],
    "launch.events.process": ["SignalProcess"],
    "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
    "launch.substitutions": [],
    "launch_ros": [],
    "launch_ros.actions": ["Node"],
}


def load(path, monkeypatch):
    """Imports a launch file with the replaced modules. `monkeypatch` removes them after the test."""
    for name, classes in MODULES.items():
        module = ModuleType(name)
        for one in classes:
            setattr(module, one, action(one))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["launch.substitutions"].LaunchConfiguration = LaunchConfiguration
    spec = spec_from_file_location(path.name.partition(".")[0], path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def defaults(module):
    """Returns the arguments of a launch file with their defaults. A required argument has None."""
    return {one.arguments[0]: one.options.get("default_value") for one in module.ARGUMENTS}


def start(module, **given):
    """Returns the actions of a launch file with these arguments."""
    return module.start(SimpleNamespace(launch_configurations=defaults(module) | given))
