"""Files of tensors: described in an instant, read safely, written whole. What they are for is not known here."""
