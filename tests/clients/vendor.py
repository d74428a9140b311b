# SPDX-License-Identifier: Apache-2.0
"""The vendor's packages of vendor.txt, installed once into the user's cache folder."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def packages():
    """The packages by the name of their folder."""
    lines = open(HERE + "/vendor.txt").read().splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


def install():
    """Returns the folder that holds one folder for each package."""
    wanted = packages()
    name = "vendor-" + hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    root = os.path.join(cache, "sluice", name)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    # Several tests may come at once; the first installs, the others wait for it.
    with open(root + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(root + "/.complete"):
            shutil.rmtree(root, ignore_errors=True)
            clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "LD_LIBRARY_PATH")}
            for folder, package in wanted.items():
                subprocess.run(
                    [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
                    + ["--target", f"{root}/{folder}", package],
                    check=True,
                    env=clean,
                )
            open(root + "/.complete", "w").close()
    return root


def find(folder, name):
    """The one file of that name in a package."""
    found = [os.path.join(at, name) for at, _, files in os.walk(f"{install()}/{folder}") if name in files]
    assert len(found) == 1, (folder, name, found)
    return found[0]
