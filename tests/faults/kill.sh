#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of each part: what runs goes on, what died is said, no card is offered twice.
. "$(dirname "$0")/../cli/lib.sh"


start_up --simulate 1x24GiB
expect 0 "ready" s desktop create one --memory 8GiB --wait
expect 0 "ready" s desktop create two --memory 8GiB --wait
one=$(field one id)
supervisor=$(pgrep -f "sluice-supervise.*$one" | head -1)
[ -n "$supervisor" ] || bad "no supervisor for $one"

say "control: desktops go on and are adopted"
kill_up
kill -0 "$supervisor" || bad "the supervisor died with control"
before=$(date +%s)
start_up
within 5 is one ready
within 5 is two ready
[ $(($(date +%s) - before)) -le 5 ] || bad "adoption took longer than 5 s"
kill -0 "$supervisor" || bad "the desktop was started again instead of adopted"
[ "$(free_bytes)" = $((8 << 30)) ] || bad "shares were lost or doubled"
expect 0 "ready" s desktop create three --memory 8GiB --wait
expect 0 "" s desktop create four --memory 1GiB
within 10 is four queued

say "control, 8 times at random moments of a launch"
expect 0 "" s desktop delete four
expect 0 "" s desktop stop three --wait
for round in 1 2 3 4 5 6 7 8; do
  s desktop start three >/dev/null 2>&1
  read -r -t "0.$((RANDOM % 6))" _ <>"$work/never" || true
  kill_up
  start_up
  within 20 is three ready
  [ "$(free_bytes)" = 0 ] || bad "round $round: $(free_bytes) bytes free"
  expect 0 "stopped" s desktop stop three --wait
  [ "$(free_bytes)" = $((8 << 30)) ] || bad "round $round: memory was lost"
done

say "a supervisor: the desktop fails with a reason, its share is free, it starts again"
kill -KILL "$supervisor"
within 10 is one failed
case "$(field one reason)" in "") bad "no reason" ;; *) say "  reason: $(field one reason)" ;; esac
freed() { [ "$(free_bytes)" = $((16 << 30)) ]; }
within 10 freed
expect 0 "ready" s desktop start one --wait

say "the X server"
x=$(pgrep -f "Xtigervnc" | while read -r p; do
  a=$p
  while [ "${a:-1}" -gt 1 ]; do
    tr '\0' ' ' <"/proc/$a/cmdline" 2>/dev/null | grep -q "sluice-supervise.*$one" && echo "$p" && break
    a=$(awk '{print $4}' "/proc/$a/stat" 2>/dev/null)
  done
done | head -1)
[ -n "$x" ] || bad "no X server of $one"
kill -KILL "$x"
within 10 is one failed
say "  reason: $(field one reason)"
expect 0 "" s desktop restart one
within 20 is one ready

say "the audit log still holds together"
expect 0 "rows" s audit verify
