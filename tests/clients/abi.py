# SPDX-License-Identifier: Apache-2.0
"""Checks the simulated GPU's idea of the vendor's binary interface against the vendor's headers.

abi.py SOURCE_FOLDER COMPILER: layouts and values by compiling simgpu/tests/abi.cc; each row of the call table by
looking its name and version up in cudaTypedefs.h.
"""
import glob
import os
import re
import subprocess
import sys
import sysconfig

source, compiler = sys.argv[1], sys.argv[2]
site = sysconfig.get_path("purelib")
headers = sorted({os.path.dirname(p) for p in glob.glob(site + "/nvidia/**/cuda.h", recursive=True)} |
                 {os.path.dirname(p) for p in glob.glob(site + "/nvidia/**/nvml.h", recursive=True)})
assert headers, "the vendor's headers are not installed"
flags = [f"-isystem{folder}" for folder in headers]
subprocess.run(
    [compiler, "-std=c++20", "-fsyntax-only", f"-I{source}", *flags, source + "/simgpu/tests/abi.cc"], check=True
)

typedefs = ""
for folder in headers:
    path = folder + "/cudaTypedefs.h"
    if os.path.exists(path):
        typedefs = open(path).read()
types = {}
for name, version, form, arguments in re.findall(
    r"PFN_(cu\w+?)_v(\d+)(_ptsz|_ptds)?\)\s*\((.*?)\);", typedefs, re.S
):
    types[(name, int(version), form)] = len(arguments.split(","))
table = open(source + "/simgpu/internal/cuda/calls.def").read()
rows = re.findall(r"^(CALL|PER_THREAD)\((\w+), (\w+), (\d+)\)$", table, re.M)
assert len(rows) > 250, "the call table could not be read"
wrong = []
# Calls that the header of typedefs does not list, with the version that brought them.
UNLISTED = {("cuGraphInstantiate", 12000)}
for kind, symbol, name, version in rows:
    form = "" if kind == "CALL" else symbol[-5:]
    if (name, int(version), form) not in types and (name, int(version)) not in UNLISTED:
        wrong.append(f"{symbol}: the vendor has no {name} of version {version}{form}")
for (name, version, form) in sorted(types):
    ours = {row[3] for row in rows if row[2] == name and (row[0] == "CALL") == (form == "")}
    # Before 3.2 pointers had 32 bits: of those forms only allocation and its kin are offered.
    if ours and str(version) not in ours and 3020 <= version <= 13000:
        wrong.append(f"{name}: the form of version {version}{form} is missing")
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
