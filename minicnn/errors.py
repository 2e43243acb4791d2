"""Exception types. All are ValueErrors or warnings, so that `except ValueError` keeps working for users of Keras."""


class ShapeError(ValueError):
    """Shapes that don't fit together; the message names the layer and both shapes."""


class DataError(ValueError):
    """A file or array whose content is not what it must be; the message names it."""


class CheckpointError(ValueError):
    """A checkpoint of another training; the message names what differs."""


class TrainingInterrupted(KeyboardInterrupt):
    """A training was asked to stop by a signal, and has: its checkpoint is written.

    Not an Exception, like KeyboardInterrupt: whoever catches all errors and goes on doesn't catch it.
    """

    def __init__(self, signal: int, checkpoint: object) -> None:
        super().__init__(f"Training was interrupted; its checkpoint is {checkpoint}.")
        self.signal = signal
        self.checkpoint = checkpoint


MALFORMED = (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
"""What building a model from JSON of the wrong form may raise besides ValueError."""


def shortened(error: Exception, limit: int = 1000) -> str:
    """The message of an error that may quote a file at any length."""
    message = str(error)
    return message if len(message) <= limit else f"{message[:limit]} …"
