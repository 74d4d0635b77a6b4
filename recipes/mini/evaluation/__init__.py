"""What a model of synthetic music can do, in figures: codec, priors, obedience, lyrics.

`codec.py` is the gate that a codec passes before a prior is trained on it, `mini.py` is everything.
Every share comes with its chance, its ceiling, a control with shuffled conditions and a 95 %
interval; all seeds are fixed, and the songs are none that a model was trained on.
"""
