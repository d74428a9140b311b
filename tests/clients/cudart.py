# SPDX-License-Identifier: Apache-2.0
"""Starts the vendor's run-time library as a program does: cudart.py FOLDER, one of vendor.txt. `--prepare` installs."""
import ctypes
import glob
import sys

import vendor

root = vendor.install()
if sys.argv[1] != "--prepare":
    library = glob.glob(f"{root}/{sys.argv[1]}/nvidia/*/lib/libcudart.so.*")
    assert len(library) == 1, library
    ctypes.CDLL(library[0]).cudaGetDeviceCount(ctypes.byref(ctypes.c_int()))
