"""Parts of datasets: subsets, and splits into training and validation."""
