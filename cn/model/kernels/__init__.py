"""Kernels for GPUs, in Triton: what a U-Net does between its convolutions and matrix products, in fewer passes.

Feature maps are channels last. Only `cn.model.layers` uses them, where they can be; it has the same in torch.
Maintained kernels of other packages (Liger-Kernel, Apex) have other layouts, another GELU, or are compiled by nvcc.
"""
