"""The uses of the paper as images of the bundled base: `make gallery` runs the commands that docs/gallery.md shows."""
