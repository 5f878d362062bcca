"""The options of a training run, by panel of the help."""
