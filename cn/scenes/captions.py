from .world import Scene
def caption(scene: Scene) -> str:
    return ''
