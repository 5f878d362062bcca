"""Datasets in the layouts that other tools read: WebDataset shards, imagefolder, parquet, and `prompt.json`."""
