"""What other formats call our parameters: one template a kind of layer."""
