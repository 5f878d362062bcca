"""cn: the ControlNet paper (Zhang & Agrawala, 2023) as a command line and a small library."""

import os

# The version of the package, the wheel and `cn --version`: pyproject.toml reads it from here.
__version__ = "0.2.0"

# OpenMP threads spin while they wait, unless told otherwise, and a spinning thread takes a CPU core from the thread it
# waits for: next to another process on the same two cores, sampling an image took a hundred times longer. Those of GNU,
# which torch has on Linux, may spin for some microseconds: not to do it at all takes 1.5 times as long on idle cores.
# torch reads the variables when it is first imported; values that are already set are kept.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
