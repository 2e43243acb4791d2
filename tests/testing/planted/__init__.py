"""Planted bugs, by op.  Each module has a right implementation and wrong variations of it."""
