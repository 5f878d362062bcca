"""cn: the ControlNet paper (Zhang & Agrawala, 2023) as a command line and a small library."""

import os

__version__ = "0.1.0"

# By default OpenMP's threads wait by spinning, which keeps other threads off a busy CPU: with another process on the
# same two cores an image took a hundred times longer. Torch reads this when it is first imported; a value that is
# already set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
