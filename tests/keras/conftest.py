"""Both libraries compute in this process's float type from the start."""

from tests.keras.floats import FLOATX

if FLOATX != "float32":
    import keras

    from minicnn import config

    keras.config.set_floatx(FLOATX)
    keras.config.set_dtype_policy(FLOATX)
    config.set_floatx(FLOATX)
