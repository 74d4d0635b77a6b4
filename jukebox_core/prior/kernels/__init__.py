"""The kernels of the fused step, in Triton; importing one of them imports Triton."""
