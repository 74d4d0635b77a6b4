"""Tokens of small priors on a CPU, sampled in C: many tokens of many rows in one call.

At small sizes a token in torch is mostly dispatch, and its matrix products are slow for few rows.
Here a whole token is computed straight from the weights and the cache of the reference: embedding,
stack, logits, and the sampling of `sampling/sampler.py`. Same numbers up to rounding, fp32 only;
weights may be int8, the arithmetic is fp32 all the same. The source is compiled when it is asked
for.
"""
