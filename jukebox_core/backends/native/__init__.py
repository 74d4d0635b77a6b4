"""Tokens of priors on a CPU, sampled in C: many tokens of many rows in one call.

At small sizes a token in torch is mostly dispatch, and its matrix products are slow for few rows.
Here a whole token is computed straight from the weights and the cache of the reference: embedding,
stack, logits, and the sampling of `sampling/sampler.py`. Same numbers up to rounding, fp32 only.
Beside int8 weights activations are rounded to thousands of levels (`products.c`).

Cores share rows and levels of small priors. Of large ones (`TransformerConfig`) they share each
product and all else within a token, and take over what a thread that does not run has left
(`team.c`).

The source is compiled when it is asked for.
"""
