"""Training a ControlNet: configuration, the loss of Eq. 10, the loop, exact resume, previews."""
