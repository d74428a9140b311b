#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Commands under a share: limit, exit code, signals, streams; the queue; with and without an
# instance.
. "$(dirname "$0")/lib.sh"

# The driver's answers to two allocations, of 512 MiB and of 10 GiB.
cat >"$work/allocate.py" <<'P'
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
small = cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(512 << 20))
large = cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(10 << 30))
total = ctypes.c_size_t()
cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
print("total", total.value >> 20, "small", small, "large", large)
P

# The same expectations for both kinds of machine.
commands() {
  expect 0 "total 2048 small 0 large 2" s run --memory 2GiB "$@" -- python3 "$work/allocate.py"
  expect 0 "total 2048 small 0 large 2" s run --memory 2GiB "$@" -- env -i /usr/bin/python3 "$work/allocate.py"
  expect 0 "The GPU works." s run --memory 512MiB "$@" -- "$sluice" gpu test
  expect 125 "smallest share is 512 MiB" s run --memory 511MiB "$@" -- true
  expect 7 "" s run --memory 1GiB "$@" -- sh -c 'exit 7'
  expect 137 "" s run --memory 1GiB "$@" -- sh -c 'kill -9 $$'
  expect 125 "nosuchprogram" s run --memory 1GiB "$@" -- nosuchprogram
  out=$(echo hello | s run --memory 1GiB "$@" -- cat 2>/dev/null)
  [ "$out" = hello ] || bad "standard input does not reach the command: $out"
  expect 0 "The GPU works." s run --memory 1GiB "$@" -- "$sluice" gpu test
  expect 0 "of 1 GiB in use" s run --memory 1GiB "$@" -- "$sluice" gpu
}

say "without an instance: a private agent"
commands --simulate 1x24GiB
expect 125 "the largest has 24 GiB" s run --memory 100GiB --simulate 1x24GiB -- true
expect 125 "" s run --memory 1GiB --simulate lots -- true

say "with one"
start_up --simulate 1x24GiB
commands
[ "$(free_bytes)" = $((24 << 30)) ] || bad "a run that ended holds memory"

say "three on one card, the fourth waits and starts by itself"
for name in a b c; do expect 0 "ready" s desktop create $name --memory 8GiB --wait; done
expect 0 "" s desktop create d --memory 8GiB
within 10 is d queued
expect 0 "8 GiB" s queue list
expect 0 "needs 8 GiB on one card" s desktop show d
expect 125 "" s run --no-wait --memory 1GiB -- true
s run --memory 1GiB -- true >"$work/run.log" 2>&1 &
waiting=$!
within 10 grep -q "waiting for a GPU, position 2" "$work/run.log"
expect 0 "" s desktop stop a --wait
within 20 is d ready
expect 0 "" s desktop stop b --wait
wait "$waiting" || bad "the waiting run failed: $(cat "$work/run.log")"

say "a program that goes round the share's ledger, by the pool's rule"
round=$build/tests/agent_round_probe
told() { s audit list --action share.bypass | grep -q "$1"; }
s run --memory 1GiB -- "$round" 3221225472 <>"$work/never" >"$work/round.log" 2>&1 &
runner=$!
within 20 told "holds 3.* round the share's ledger: warned (rule: warn)"
expect 0 "bypass rule     end" s pool set shared --bypass-rule end
# The one that is found already ends like any other: 128 + SIGTERM.
wait "$runner"
code=$?
[ "$code" = 143 ] || bad "the program ended with $code: $(cat "$work/round.log")"
within 20 told "asked to end (rule: end)"
expect 0 '"bypass_rule": "end"' s pool list --json
expect 2 "say what to set" s pool set shared
expect 0 "warn" s pool set shared --bypass-rule warn

say "floor and ceiling of a pool"
expect 0 "floor           none" s pool show shared
expect 0 "left to shares" s pool set shared --floor 1 --ceiling 1
expect 0 '"ceiling_cards": 1' s pool show shared --json
expect 2 "" s pool set shared --floor few
s pool set shared --floor 99 2>&1 | grep -q "name no more, or 0 for none" || bad "a floor above the cards was not refused"
expect 0 "No desktop and no run would be touched" s pool set shared --floor 0 --dry-run
expect 0 "floor           none" s pool undo shared

say "leaving the queue"
expect 0 "" s desktop create e --memory 16GiB
within 10 is e queued
expect 0 "needs 15 GiB" s desktop ask e --memory 15GiB
claim=$(s queue list --json | python3 -c "import json,sys; print(json.load(sys.stdin)[0]['claim_id'])")
expect 0 "left the queue" s queue leave "$claim"
within 10 is e stopped

say "a run that is killed leaves nothing behind"
s run --memory 8GiB -- sh -c "echo \$\$ >'$work/inner'; exec sleep 98431" >/dev/null 2>&1 &
runner=$!
within 10 test -s "$work/inner"
kill -KILL $(pgrep -P "$runner") 2>/dev/null
kill -KILL "$runner" 2>/dev/null
wait "$runner" 2>/dev/null
no_sleep() { ! pgrep -f "sleep 98431" >/dev/null; }
within 10 no_sleep
freed() { [ "$(free_bytes)" = $((8 << 30)) ]; }
within 10 freed
