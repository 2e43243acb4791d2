"""The algorithms of a convolution side by side: what they multiply and remember, how fast they are, how far off."""
