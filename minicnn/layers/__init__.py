"""Layers: configuration and weights, Keras's names and meanings. Each lowers to ops and does no arithmetic itself."""

from minicnn.layers.activation import Activation
from minicnn.layers.average_pooling2d import AveragePooling2D
from minicnn.layers.conv2d import Conv2D
from minicnn.layers.dense import Dense
from minicnn.layers.dropout import Dropout
from minicnn.layers.flatten import Flatten
from minicnn.layers.global_pooling2d import GlobalAveragePooling2D, GlobalMaxPooling2D
from minicnn.layers.input_layer import Input, InputLayer
from minicnn.layers.layer import Layer
from minicnn.layers.max_pooling2d import MaxPooling2D
from minicnn.layers.random_flip import RandomFlip
from minicnn.layers.random_rotation import RandomRotation
from minicnn.layers.random_shear import RandomShear
from minicnn.layers.random_translation import RandomTranslation
from minicnn.layers.random_zoom import RandomZoom
from minicnn.layers.relu import ReLU
from minicnn.layers.rescaling import Rescaling
from minicnn.layers.softmax import Softmax
from minicnn.layers.zero_padding2d import ZeroPadding2D
from minicnn.registry import deserialize_object as deserialize
from minicnn.registry import serialize_object as serialize

__all__ = [
    "Activation",
    "AveragePooling2D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPooling2D",
    "RandomFlip",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "Rescaling",
    "Softmax",
    "ZeroPadding2D",
    "deserialize",
    "serialize",
]
