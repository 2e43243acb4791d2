"""Explanations: any element of y, dx, dw or db of any layer, taken apart into what it was computed from.

| file | holds |
|---|---|
| `recording.py` | a run of the model that keeps every value and every gradient |
| `steps.py` | what an element can be: a sum of terms, a choice, a point of a curve, a share |
| `linear.py`, `pooling.py`, `elementwise.py` | the steps of each op, forward and backward |
| `explain.py` | `explain`: from a layer and an index to an `Explanation` |
| `sections.py`, `formulas.py` | an explanation in words and tables |
| `render.py` | those on a terminal and in a notebook |
| `picture.py` | those drawn |
"""
