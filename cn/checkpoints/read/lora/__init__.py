"""LoRA files: what their tensors are called, which layers of a base they change, and adding them to its weights."""
