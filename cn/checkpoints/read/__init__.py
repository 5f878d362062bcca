"""Files and folders of weights, identified by their content and read."""
