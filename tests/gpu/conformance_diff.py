# SPDX-License-Identifier: Apache-2.0
"""Holds the simulated driver's answers against a real one's, question by question."""
import json
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Time passes for who waits alone, so that the answers do not depend on how busy this machine is.
SCENE = {
    "version": 1,
    "clock": "virtual",
    "cards": [{"uuid": "GPU-00000000-0000-0000-0000-000000000001", "name": "Sluice simulated GPU", "memory_mib": 8192}],
}


def ask(program, library, environment):
    lines = subprocess.run(
        [program, library], env={**os.environ, **environment}, stdout=subprocess.PIPE, timeout=300, check=True, text=True
    ).stdout.splitlines()
    return {row["case"]: row["answers"] for row in map(json.loads, lines)}


def read_known():
    known = {}
    with open(os.path.join(HERE, "known-differences.tsv"), encoding="utf-8") as rows:
        for row in rows:
            if row.startswith("#") or not row.strip():
                continue
            case, what, why = row.rstrip("\n").split("\t")
            known[(case, what)] = why
    return known


def differences(real, simulated):
    """Answers are compared in order: each is to the same question unless a case ended early."""
    rows = []
    for i in range(max(len(real), len(simulated))):
        left = real[i] if i < len(real) else [None, None]
        right = simulated[i] if i < len(simulated) else [None, None]
        if left != right:
            rows.append({"what": left[0] or right[0], "real": left[1], "simulated": right[1]})
    return rows


def compare(program, real, simulated):
    """One row a case: both answers, what differs, and whether that is known. `real` and `simulated`: libraries, or None."""
    known = read_known()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "scene.json"), "w", encoding="utf-8") as scene:
            json.dump(SCENE, scene)
        os.mkdir(os.path.join(folder, "ipc"))
        environment = {"SLUICE_SIMGPU_STATE": folder, "SLUICE_SIMGPU_VISIBLE": os.path.join(folder, "visible")}
        answers = {"real": real and ask(program, real, environment), "simulated": simulated and ask(program, simulated, environment)}
    for case in answers["real"] or answers["simulated"] or {}:
        row = {"case": case, "real": (answers["real"] or {}).get(case), "simulated": (answers["simulated"] or {}).get(case)}
        given = [each for each in (row["real"], row["simulated"]) if each is not None]
        row["ok"] = not any(not each or each[-1][0] == "ended by signal" or each[0][0] == "cannot be loaded" for each in given)
        if len(given) == 2:
            row["differences"] = differences(*given)
            row["known"] = [each["what"] for each in row["differences"] if (case, each["what"]) in known]
            row["ok"] = row["ok"] and len(row["known"]) == len(row["differences"])
        yield row
