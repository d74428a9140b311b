# SPDX-License-Identifier: Apache-2.0
"""What the suites run on: the machine's card natively, and Sluice's shares of it."""
import contextlib
import ctypes
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

DEADLINE_S = 60


class Impossible(Exception):
    """This machine cannot do what a suite needs; the suite's line says why."""


class Nvml:
    """The driver's own figures, outside of every share."""

    class Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    class Process(ctypes.Structure):
        _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gi", ctypes.c_uint), ("ci", ctypes.c_uint)]

    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.card = ctypes.c_void_p()
        self.need("nvmlInit_v2")
        self.need("nvmlDeviceGetHandleByIndex_v2", 0, ctypes.byref(self.card))

    def need(self, call, *arguments):
        answer = getattr(self.library, call)(*arguments)
        if answer != 0:
            raise Impossible(f"{call} answers {answer}")

    def memory(self):
        memory = Nvml.Memory()
        self.need("nvmlDeviceGetMemoryInfo", self.card, ctypes.byref(memory))
        return memory

    def used_mib(self):
        return self.memory().used >> 20

    def processes(self):
        """Bytes by process."""
        rows, count = (Nvml.Process * 256)(), ctypes.c_uint(256)
        for call in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"):
            with contextlib.suppress(AttributeError):
                self.need(call, self.card, ctypes.byref(count), rows)
                return {row.pid: row.used for row in rows[: count.value]}
        raise Impossible("NVML lists no processes")

    def name(self):
        text = ctypes.create_string_buffer(96)
        self.need("nvmlDeviceGetName", self.card, text, 96)
        return text.value.decode()

    def driver(self):
        text = ctypes.create_string_buffer(96)
        self.need("nvmlSystemGetDriverVersion", text, 96)
        return text.value.decode()


class Running:
    """A program of ours, ended with its suite."""

    def __init__(self, words, environment):
        self.complaints = tempfile.TemporaryFile(mode="w+", errors="replace")
        self.process = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
            text=True,
            start_new_session=True,
        )

    def line(self):
        return self.process.stdout.readline().strip()

    def say(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def rest(self):
        """Everything that it still prints, to its end."""
        self.say()
        text, _ = self.process.communicate(timeout=DEADLINE_S)
        return text

    def end(self):
        """How it ended, for people: its exit code and its last complaint."""
        self.complaints.seek(0)
        lines = self.complaints.read().splitlines()
        return f"exit code {self.process.returncode}" + (f", {lines[-1]}" if lines else "")

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Machine:
    """One instance of Sluice on this machine's first card, or on a simulated one."""

    def __init__(self, bundle, simulate):
        self.bundle, self.simulate = bundle, simulate
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-gpu-")
        self.state = self.folder.name + "/state"
        self.running = []
        self.environment = dict(os.environ, SLUICE_STATE=self.state)
        for name in ("LD_PRELOAD", "SLUICE_SIMULATE"):
            self.environment.pop(name, None)
        words = [f"{bundle}/bin/sluice", "up", "--port", "0"] + (["--simulate", simulate] if simulate else [])
        self.log = open(self.folder.name + "/up.log", "w+", encoding="utf-8")
        self.up = subprocess.Popen(words, env=self.environment, stdout=self.log, stderr=self.log, start_new_session=True)
        self.await_up()
        if simulate:
            self.environment["SLUICE_SIMGPU_STATE"] = os.environ["SLUICE_SIMGPU_STATE"] = self.simulated_state()
            self.environment["LD_LIBRARY_PATH"] = bundle + "/lib/simgpu"
        self.nvml = Nvml((bundle + "/lib/simgpu/" if simulate else "") + "libnvidia-ml.so.1")
        self.environment["SLUICE_GPU_ROUNDS"] = str(self.one(("work", "calibrate"))["rounds"])
        self.total_mib = self.nvml.memory().total >> 20

    def await_up(self):
        end = time.monotonic() + DEADLINE_S
        while "is up" not in self.said():
            if self.up.poll() is not None or time.monotonic() > end:
                raise Impossible("sluice up: " + (self.said().strip() or "no answer"))
            time.sleep(0.05)

    def said(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as text:
            return text.read()

    def simulated_state(self):
        """The instance has the cards' file open."""
        for link in glob.glob(f"/proc/{self.up.pid}/fd/*"):
            with contextlib.suppress(OSError):
                path = os.readlink(link)
                if path.endswith("/device.map"):
                    return os.path.dirname(path)
        raise Impossible("the simulated cards' folder is not to be found")

    def close(self):
        self.end_all()
        self.up.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.up.wait(DEADLINE_S)
        self.up.kill()
        self.log.close()
        self.folder.cleanup()

    def end_all(self):
        for running in self.running:
            running.kill()
        self.running = []

    def words(self, words, share):
        """`share`: None for the bare card, else options of sluice run."""
        words = [f"{self.bundle}/bin/{words[0]}"] + [str(word) for word in words[1:]] if isinstance(words, tuple) else words
        if share is None:
            return words
        options = [f"--{name}={value}" for name, value in share.items()]
        # What sluice itself needs of libraries is not for the program.
        return [f"{self.bundle}/bin/sluice", "run", *options, "--", "/usr/bin/env", "-u", "LD_LIBRARY_PATH", *words]

    def start(self, words, share=None):
        """A tuple is a program of the bundle, a list one of the machine's."""
        environment = dict(self.environment)
        if share is not None:
            environment.pop("LD_LIBRARY_PATH", None)  # Inside, its own cache of libraries leads to the card's.
        running = Running(self.words(words, share), environment)
        self.running.append(running)
        return running

    def ask(self, words, share=None):
        """The JSON lines of a program that ends by itself; a failed one has `failed` in its line."""
        return json_lines(self.text(words, share))

    def text(self, words, share=None):
        return self.ended(words, share)[0]

    def ended(self, words, share):
        """What a program printed, and how it ended."""
        running = self.start(words, share)
        text = running.rest()
        self.running.remove(running)
        return text, running.end()

    def one(self, words, share=None):
        """The last line of a program that has to say something; the line tells of tries that came to nothing."""
        ends = []
        while len(ends) < 3:
            text, end = self.ended(words, share)
            lines = json_lines(text)
            if lines:
                return {**lines[-1], **({"said_nothing_before": ends} if ends else {})}
            ends.append(end)
        raise Impossible(f"{words[0]} {words[1] if len(words) > 1 else ''} said nothing: {'; '.join(ends)}")


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def eventually(condition):
    """Seconds until it holds; None: it never did."""
    start = time.monotonic()
    while time.monotonic() - start < DEADLINE_S:
        if condition():
            return time.monotonic() - start
        time.sleep(0.005)
    return None


if __name__ == "__main__":
    sys.exit("this is a part of ./run")
