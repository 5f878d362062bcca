"""Where the curves of a run can be followed: TensorBoard, Weights & Biases."""
