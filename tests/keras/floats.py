"""The float type of this process: float32, or what MINICNN_TEST_FLOATX says.

Keras's float type must be set before any Keras object exists, so float64 is tested by a process of its own:
test_in_float64.py runs other files of this folder again. conftest.py sets the type in both libraries.
"""

import os

from tests.keras.agreement import ARITHMETICS

FLOATX = os.environ.get("MINICNN_TEST_FLOATX", "float32")
ARITHMETIC = ARITHMETICS[FLOATX]
EPS = 2 * ARITHMETIC.u
"""The distance from 1 to the next number."""
