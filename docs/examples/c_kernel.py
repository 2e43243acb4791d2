"""A convolution in C, compiled by cc and called through ctypes, and its verification in ten lines."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from minicnn.testing import Target, check_conv2d

SOURCE = r"""
/* y (N, OH, OW, F) = x (N, H, W, C) correlated with w (P, Q, C, F), stride sh, sw, no padding */
void conv2d(const float *x, const float *w, const float *b, float *y,
            int N, int H, int W, int C, int P, int Q, int F, int sh, int sw)
{
    int OH = (H - P) / sh + 1, OW = (W - Q) / sw + 1;
    for (int n = 0; n < N; n++) for (int i = 0; i < OH; i++) for (int j = 0; j < OW; j++) {
        float *out = y + ((long)(n * OH + i) * OW + j) * F;
        for (int f = 0; f < F; f++) out[f] = b[f];
        for (int p = 0; p < P; p++) for (int q = 0; q < Q; q++) for (int c = 0; c < C; c++) {
            float pixel = x[((long)(n * H + i * sh + p) * W + j * sw + q) * C + c];
            for (int f = 0; f < F; f++) out[f] += pixel * w[((p * Q + q) * C + c) * F + f];
        }
    }
}
"""


def compiled(source):
    """The function `conv2d` of a C source."""
    folder = Path(tempfile.mkdtemp())
    (folder / "conv.c").write_text(source)
    library = folder / "conv.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, folder / "conv.c"], check=True)
    return ctypes.CDLL(library).conv2d


KERNEL = compiled(SOURCE)


# Verified in ten lines:
def forward(x, kernel, bias=None, *, strides=(1, 1)):
    (n, h, w, c), (p, q, channels, f) = x.shape, kernel.shape
    if channels != c or p > h or q > w or min(strides) < 1:
        raise ValueError("these don't fit together")
    y = np.empty((n, (h - p) // strides[0] + 1, (w - q) // strides[1] + 1, f), np.float32)
    arrays = [np.ascontiguousarray(a) for a in (x, kernel, np.zeros(f, "f") if bias is None else bias)]
    KERNEL(*(a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, y)), n, h, w, c, p, q, f, *strides)
    return y


TARGET = Target("my C kernel", "conv2d", forward, options=frozenset({"strides"}), dtypes=(np.float32,))

if __name__ == "__main__":
    print(check_conv2d(TARGET).raise_if_failed())
