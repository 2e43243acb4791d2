"""Callbacks: what happens around epochs and batches. Names, arguments and meanings are Keras's."""

from minicnn.callbacks.backup_and_restore import BackupAndRestore
from minicnn.callbacks.callback import Callback, History, LambdaCallback, TerminateOnNaN
from minicnn.callbacks.callback_list import CallbackList
from minicnn.callbacks.csv_logger import CSVLogger
from minicnn.callbacks.learning_rate_scheduler import LearningRateScheduler
from minicnn.callbacks.model_checkpoint import ModelCheckpoint
from minicnn.callbacks.monitor import EarlyStopping, ReduceLROnPlateau
from minicnn.callbacks.progbar_logger import ProgbarLogger
from minicnn.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
