"""Ops, plans and how they run. README.md beside this file is the tour."""
