#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full disk: what is asked is refused with a sentence, nothing that runs is lost, and with space
# everything goes on.
if [ -z "${SLUICE_TEST_INSIDE:-}" ]; then
  # A small disk of our own, seen by this test alone.
  SLUICE_TEST_INSIDE=1 exec unshare -m --propagation private ${EUID:+$([ "$EUID" = 0 ] || echo --map-root-user)} bash "$0"
fi
. "$(dirname "$0")/../cli/lib.sh"
mkdir "$state" && mount -t tmpfs -o size=6m,mode=700 none "$state" || { bad "no small disk"; exit; }

start_up --simulate 1x24GiB
expect 0 "ready" s desktop create one --memory 8GiB --wait
say "full"
dd if=/dev/zero of="$state/filler" bs=64k 2>/dev/null
dd if=/dev/zero of="$state/filler2" bs=512 2>/dev/null
# Small rows may still find room in what the store has; big ones must fail in the end.
refused() { ! s user add "u$RANDOM$RANDOM" --display-name "$(printf 'x%.0s' $(seq 100))"; }
within 60 refused
try s user add somebody
[ "$code" != 0 ] && case "$out" in *space* | *full* | *disk*) ;; *) bad "the reason is not said: $out" ;; esac
expect 0 "ready" s desktop show one
expect 0 "24 GiB" s gpu list
say "space again"
rm "$state/filler" "$state/filler2"
expect 0 "One-time password" s user add late
expect 0 "stopped" s desktop stop one --wait
expect 0 "ready" s desktop start one --wait
expect 0 "rows" s audit verify
say "started on a full disk: what runs is found again, wishes are refused until there is space"
stop_up
dd if=/dev/zero of="$state/filler" bs=64k 2>/dev/null
dd if=/dev/zero of="$state/filler2" bs=512 2>/dev/null
start_up
within 5 is one ready
within 60 refused
rm "$state/filler" "$state/filler2"
expect 0 "One-time password" s user add later

# What finish() does, before the small disk goes.
expect 0 "" s desktop delete one --delete-home --yes
within 20 nothing_listed
stop_up
umount "$state" && rmdir "$state"
