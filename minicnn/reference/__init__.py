"""The mathematics in NumPy: `<op>_forward(…) → y, residuals` and `<op>_backward(dy, residuals) → gradients`.

Written to be read next to the formulas and to be called by hand; allocates freely, keeps no state. One op, or one
family of ops, a file. Residuals are NamedTuples: what the backward pass needs, nothing else.
"""
