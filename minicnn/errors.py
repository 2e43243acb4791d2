"""Exception types. All are ValueErrors or warnings, so that `except ValueError` keeps working for users of Keras."""


class ShapeError(ValueError):
    """Shapes that don't fit together; the message names the layer and both shapes."""


class DataError(ValueError):
    """A file or array whose content is not what it must be; the message names it."""
