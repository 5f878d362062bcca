"""`cn dataset lint`: what ruins a training, found in a dataset before it, and repaired where that is safe."""
