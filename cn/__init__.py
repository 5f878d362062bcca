"""cn: the ControlNet paper (Zhang & Agrawala, 2023) as a command line and a small library."""

import os

# The version of the package, the wheel and `cn --version`: pyproject.toml reads it from here.
__version__ = "0.2.0"

# OpenMP threads spin while they wait, unless told otherwise, and a spinning thread takes a CPU core from the thread it
# waits for: next to another process on the same two cores, sampling an image took a hundred times longer. torch reads
# the variable when it is first imported; a value that is already set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
