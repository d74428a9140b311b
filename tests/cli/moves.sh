#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who gives way, who moves, what is reserved, and shares of two cards at once: on two small cards.
. "$(dirname "$0")/lib.sh"

card_of() { s desktop show "$1" --json | sed -n 's/.*"gpu_id": "\([^"]*\)".*/\1/p' | head -1; }
is() { s desktop show "$1" --json | grep -q "\"state\": \"$2\""; }
is_on() { is "$1" ready && [ "$(card_of "$1")" = "$2" ]; }

start_up --simulate 2x4GiB
expect 0 "gives way" s pool show shared
expect 0 "never" s pool show shared
expect 0 "lower_priority, told 2 s before" s pool set shared --preempt lower_priority --notice 2s
expect 2 "" s pool set shared --preempt everybody

say "two shares at once, or none"
limits() { s run --memory 2GiB --also 1GiB -- "$sluice" gpu --json | grep -o '"limit_bytes": [0-9]*'; }
expect 0 "2147483648
\"limit_bytes\": 1073741824" limits
expect 125 "needs 3 shares on different cards" s run --memory 1GiB --also 1GiB --also 1GiB -- true

say "whole cards by moves, and back"
expect 0 "ready" s desktop create filler --memory 3584MiB --wait
expect 0 "ready" s desktop create small --memory 1GiB --wait
expect 0 "ready" s desktop create beside --memory 3GiB --wait
small=$(card_of small)
expect 0 "" s desktop stop filler --wait
expect 0 "ready" s desktop create large --memory 2GiB --wait
large=$(card_of large)
expect 0 "" s desktop stop beside --wait
[ "$small" != "$large" ] || bad "both are on $small"
expect 0 "To do it, add --apply" s pool consolidate shared
expect 0 "People who are disturbed: 1." s pool consolidate shared --apply
within 60 is_on small "$large"
expect 0 "small" s pool consolidate shared --undo
within 60 is_on small "$small"
expect 4 "nothing to take back" s pool consolidate shared --undo
expect 0 "It is now on" s audit list --action desktop.move

say "the lower priority gives way, and comes back"
expect 0 "ready" s desktop create low --memory 1536MiB --priority -5 --wait
expect 0 "" s desktop stop large --wait
expect 0 "ready" s desktop create other --memory 3584MiB --wait
expect 0 "" s desktop create first --memory 2560MiB
within 60 is first ready
within 20 is low queued
expect 0 "from Sluice: It gave its share" s desktop show low
expect 0 "gives way" s audit list --action desktop.notice
expect 0 "" s desktop stop first --wait
within 20 is low ready
for name in low other small; do expect 0 "" s desktop stop $name --wait; done

say "what is reserved is kept for its team"
expect 0 "" s team add course
expect 0 "2 of 2 cards" s reservation add lesson --team course --cards 2 --from 2100-01-01T09:00:00Z --to 2100-01-01T11:00:00Z
expect 0 "lesson" s reservation list
expect 4 "" s reservation add lesson --team course --from 2100-01-01T09:00:00Z --to 2100-01-01T08:00:00Z
expect 125 "reserved for another team" s run --no-wait --memory 1GiB -- true
id=$(s reservation list --json | sed -n 's/.*"id": "\(rsv_[^"]*\)".*/\1/p')
expect 0 "is deleted" s reservation delete "$id"
expect 0 "" s run --no-wait --memory 1GiB -- true
expect 0 "Nothing is reserved" s reservation list
finish
