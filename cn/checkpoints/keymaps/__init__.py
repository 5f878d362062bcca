"""What other formats call our parameters: one template for each kind of layer."""
