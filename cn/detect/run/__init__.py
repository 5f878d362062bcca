"""Process many images into maps: inputs, jobs, batches, workers."""
