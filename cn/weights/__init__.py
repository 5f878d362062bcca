"""The weights that come with the package, and finding weights by name or path."""
