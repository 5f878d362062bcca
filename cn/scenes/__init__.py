"""The built-in world: describe → render → caption."""

from .captions import caption
from .render import View, render
from .scene import Scene
from .world import describe

__all__ = ["Scene", "View", "caption", "describe", "render"]
