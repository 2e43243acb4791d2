"""The verification kit: finds the bug in anybody's implementation of a convolutional net's layers.

    from minicnn.testing import check_conv2d
    print(check_conv2d(my_conv2d))

It needs NumPy and Hypothesis and nothing else of this package.
"""
