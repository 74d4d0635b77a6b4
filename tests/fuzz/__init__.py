"""What strangers and machines may send: no answer is a 5xx, and none is undeclared."""
