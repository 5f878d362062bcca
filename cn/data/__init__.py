"""Training data (image, condition map, prompt): read from folders or rendered from the built-in scenes."""
