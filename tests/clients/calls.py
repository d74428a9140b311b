# SPDX-License-Identifier: Apache-2.0
"""Compares shim/calls.tsv with every function of the vendor's headers, and with what the interposer answers.

calls.py SOURCE_FOLDER COMPILER
"""
import os
import re
import subprocess
import sys

import vendor

source, compiler = sys.argv[1], sys.argv[2]

CLASSES = {"memory", "free", "launch", "sync", "view", "state", "copy", "pass"}
# What a category of calls.def may be called in calls.tsv.
CLASSES_OF = {
    "kResolution": {"state"},
    "kInit": {"state"},
    "kContext": {"state"},
    "kCapture": {"state"},
    "kLinear": {"memory", "free"},
    "kArray": {"memory", "free"},
    "kPool": {"memory", "free", "state"},
    "kVmm": {"memory", "free"},
    "kGraph": {"memory", "free"},
    "kSync": {"sync"},
    "kLaunch": {"launch"},
    "kCopy": {"copy"},
    "kView": {"view"},
}
# How the driver's header is read: it declares other symbols with each of these.
FORMS = ([], ["-DCUDA_API_PER_THREAD_DEFAULT_STREAM"], ["-D__CUDA_API_VERSION_INTERNAL"])
DECLARATION = re.compile(r"^(?!.*\binline\b).*\bCUresult\s+(cu\w+)\s*\(", re.M)
# Calls that the header of typedefs does not list, with the version that brought them.
UNLISTED = {("cuGraphInstantiate", 12000)}


def driver_symbols(header):
    """Every exported name that cuda.h declares in any form, historic ones included."""
    symbols = set()
    for form in FORMS:
        command = [compiler, "-E", "-P", "-xc++", "-I" + os.path.dirname(header), *form, header]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        symbols |= set(DECLARATION.findall(text))
    return symbols


def graphics_symbols(folder):
    """The same of the headers for OpenGL, EGL and VDPAU, which include what is not there."""
    symbols = set()
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"cuda(GL|EGL|VDPAU)\.h", name):
            text = open(os.path.join(folder, name)).read()
            symbols |= set(re.findall(r"CUresult\s+CUDAAPI\s+(cu\w+)\s*\(", text))
            symbols |= set(re.findall(r"#\s*define\s+cu\w+\s+(cu\w+_v\d)\b", text))
            forms = re.findall(r"__CUDA_API_(PTSZ|PTDS)\((cu\w+)\)", text)
            symbols |= {base + "_" + form.lower() for form, base in forms}
    return symbols


def typedefs(folder):
    """(name, version) of every function that cudaTypedefs.h and its like list."""
    pairs = set()
    for name in os.listdir(folder):
        if name.startswith("cuda") and name.endswith("Typedefs.h"):
            text = open(os.path.join(folder, name)).read()
            pairs |= {(base, int(v)) for base, v in re.findall(r"PFN_(cu\w+?)_v(\d+)(?:_pt[sd][zs])?\)", text)}
    return pairs


def nvml_symbols(header):
    text = open(header).read()
    symbols = set(re.findall(r"nvmlReturn_t\s+(?:DECLDIR\s+)?(nvml\w+)\s*\(", text))
    symbols |= set(re.findall(r"DECLDIR\s+char\s*\*\s*(nvml\w+)\s*\(", text))
    return symbols | set(re.findall(r"#define\s+nvml\w+\s+(nvml\w+_v\d+)\b", text))


def read_classes():
    classes, wrong = {}, []
    for line in open(source + "/shim/calls.tsv").read().splitlines():
        if line.startswith("#"):
            continue
        symbol, kind = line.split("\t")[:2]
        if symbol in classes:
            wrong.append(f"{symbol}: two rows")
        if kind not in CLASSES:
            wrong.append(f"{symbol}: no class is called {kind}")
        classes[symbol] = kind
    return classes, wrong


def compare_with_headers(classes):
    cuda, versions, nvml = set(), set(), set()
    for package in vendor.packages():
        if package.startswith("cuda"):
            header = vendor.find(package, "cuda.h")
            found = driver_symbols(header)
            assert len(found) > 500, f"{header} could not be read"
            cuda |= found | graphics_symbols(os.path.dirname(header))
            versions |= typedefs(os.path.dirname(header))
        else:
            found = nvml_symbols(vendor.find(package, "nvml.h"))
            assert len(found) > 350, f"{package} could not be read"
            nvml |= found
    assert len(versions) > 500
    cuda |= {name for name, _ in versions}  # Of the profiler, whose header is in none of the packages.
    wrong = [f"{name}: in the vendor's headers and not in calls.tsv" for name in (cuda | nvml) - set(classes)]
    wrong += [f"{name}: in calls.tsv and in no header" for name in set(classes) - cuda - nvml]
    return wrong, versions


def compare_with_interposer(classes, versions):
    table = open(source + "/shim/calls.def").read()
    rows = re.findall(r"^CUDA_CALL\((\w+), (\w+), (\d+), \w+, (\w+), ", table, re.M)
    assert len(rows) > 60, "calls.def could not be read"
    wrong, answered = [], set(re.findall(r"^NVML_CALL\((\w+),", table, re.M))
    wrong += [f"{symbol}: answered, so its class is view" for symbol in answered if classes.get(symbol) != "view"]
    for symbol, name, since, category in rows:
        answered.add(symbol)
        if classes.get(symbol) not in CLASSES_OF[category]:
            wrong.append(f"{symbol}: {category} in calls.def, {classes.get(symbol)} in calls.tsv")
        if (name, int(since)) not in versions | UNLISTED:
            wrong.append(f"{symbol}: there is no {name} of version {since}")
    for symbol, kind in classes.items():
        if kind not in ("pass", "copy") and symbol not in answered:
            wrong.append(f"{symbol}: {kind} in calls.tsv, and nothing answers it")
    return wrong


def main():
    classes, wrong = read_classes()
    found, versions = compare_with_headers(classes)
    wrong += found + compare_with_interposer(classes, versions)
    for line in sorted(wrong):
        print(line)
    print(f"{len(classes)} symbols, {len(wrong)} wrong")
    return 1 if wrong else 0


sys.exit(main())
