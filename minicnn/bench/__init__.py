"""Benchmarks: one table of cases, every library in a process of its own, raw samples to JSON.

`results.py` says what a file of results holds; `command.py` is the body of `minicnn bench`; `profile.py` profiles
models of files, layer by layer; `pictures.py` draws what a file of results holds.
"""
