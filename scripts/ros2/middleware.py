"""Adds a second middleware to that of the wheels, and refuses one that does not exist.

Without this check the tests would report a middleware that rcl never loaded.
"""

from pathlib import Path

from package import found
from prefix import joined

# Install folders that are searched before ROS 2, separated by colons. The first one has priority.
OVERLAY = "ETTRACK_ROS_OVERLAY"
CHOICE = "RMW_IMPLEMENTATION"


def choose(environment):
    """Returns the environment for the tests, made from the one in which the package was built. Raises ValueError."""
    overlay = [Path(folder).resolve() for folder in environment.get(OVERLAY, "").split(":") if folder]
    for folder in overlay:
        if not (folder / "share" / "ament_index").is_dir():
            raise ValueError(f"{OVERLAY} names {folder}, expected an install folder with share/ament_index in it")
    if overlay:
        environment = environment | {
            "AMENT_PREFIX_PATH": joined(overlay, environment.get("AMENT_PREFIX_PATH")),
            "LD_LIBRARY_PATH": joined([folder / "lib" for folder in overlay], environment.get("LD_LIBRARY_PATH")),
        }
    wanted = environment.get(CHOICE)
    if wanted and not found(wanted, environment):
        raise ValueError(
            f"{CHOICE} is {wanted}, which no folder of AMENT_PREFIX_PATH holds: install or source it, "
            f"or name the folder it is installed in by {OVERLAY}"
        )
    return environment
