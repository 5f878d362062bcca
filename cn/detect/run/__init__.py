"""Many images to many maps: inputs, jobs, batches, workers."""
