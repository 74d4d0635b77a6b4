"""The kernels of the Triton backend; importing one of them imports Triton."""
