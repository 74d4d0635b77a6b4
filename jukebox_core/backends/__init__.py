"""How the tokens of a prior are computed: objects beside it, with one interface."""
