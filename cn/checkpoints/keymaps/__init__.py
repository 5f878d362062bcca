"""The names of our parameters in other formats: one template for each kind of layer."""
