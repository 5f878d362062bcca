"""Plan and write conversions of checkpoints, and cn's own files."""
