"""The built-in world: describe → render → caption."""

from cn.scenes.captions import caption
from cn.scenes.choose_scene import describe
from cn.scenes.render import View, render
from cn.scenes.scene import Scene
from cn.scenes.versions import changed, recolored

__all__ = ["Scene", "View", "caption", "changed", "describe", "recolored", "render"]
