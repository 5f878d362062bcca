"""cn: the ControlNet paper (Zhang & Agrawala, 2023) as a command line and a small library."""

import os

__version__ = "0.1.0"

# OpenMP's threads wait by spinning unless told otherwise, and a thread that spins keeps the one that it waits for off a
# busy processor: beside another process on the same two cores an image took a hundred times longer. Read when torch is
# first imported; whoever sets the variable keeps their choice.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
