"""Identify files and folders of weights by their content, and read them."""
