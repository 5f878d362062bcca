"""cn: the ControlNet paper (Zhang & Agrawala, 2023) as a command line and a small library."""

__version__ = "0.1.0"
