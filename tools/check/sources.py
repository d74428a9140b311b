# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the project's source files, their #include lines, and a cache of what has already passed."""
import hashlib
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
CACHE = Path(os.environ.get("SLUICE_CACHE", Path.home() / ".cache/sluice")) / "checked"


def tracked(*suffixes):
    """Files git knows or would add, with one of the suffixes, by name."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True,
                         text=True, check=True).stdout.split("\n")
    return sorted(ROOT / f for f in out if f.endswith(suffixes) and (ROOT / f).is_file())


def includes(path):
    """(bracket, name) of each #include line."""
    return INCLUDE.findall(path.read_text(errors="replace"))


def closure(path, seen=None):
    """The file and every project header that it reaches."""
    seen = {} if seen is None else seen
    if path in seen or not path.is_file():
        return seen
    seen[path] = path.read_bytes()
    for _, name in includes(path):
        for candidate in (ROOT / name, path.parent / name):
            closure(candidate, seen)
    return seen


def fingerprint(path, *extra):
    digest = hashlib.sha256("\0".join(extra).encode())
    for file, content in sorted(closure(path).items()):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + content)
    return digest.hexdigest()


def each_once(files, kind, command):
    """Runs command(file) for each file whose content has not passed before; returns the failures' output."""
    CACHE.mkdir(parents=True, exist_ok=True)

    def one(file):
        argv = command(file)
        stamp = CACHE / f"{kind}-{fingerprint(file, *(str(a).replace(str(ROOT), '') for a in argv))}"
        if stamp.exists():
            return None
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            stamp.touch()
            return None
        return f"{file.relative_to(ROOT)}:\n{done.stdout}{done.stderr}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [bad for bad in pool.map(one, files) if bad]
