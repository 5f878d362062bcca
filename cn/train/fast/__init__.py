"""What makes a training step fast and changes no result beyond rounding."""
