"""`cn dataset build`: people's images, in any layout, to a dataset with condition maps."""
