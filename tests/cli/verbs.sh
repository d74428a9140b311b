#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every group of verbs against a real instance.
. "$(dirname "$0")/lib.sh"

say "without an instance"
expect 0 "sluice " "$sluice" version
expect 5 "sluice up" s desktop list
expect 2 'did you mean "desktop"?' s dekstop list
expect 2 "binary units" s run --memory 1GB -- true
expect 0 "complete -o default -F _sluice sluice" "$sluice" completion bash
"$sluice" completion bash | bash -n || bad "the completion for bash is no bash"

say "up"
start_up --simulate 2x24GiB
grep -q "one time" "$work/up.log" || bad "no password at the first start"
grep -q "2 x Sluice simulated GPU 24 GiB" "$work/up.log" || bad "the cards are not said to be simulated"
expect 0 "simulated" s gpu list
expect 0 "compile" s template list

say "a desktop's life"
expect 0 "ready" s desktop create one --memory 8GiB --run-for 8h --idle-stop 30m --wait
expect 0 "8 GiB on Sluice simulated GPU" s desktop show one
expect 0 "$url/desktops/dsk_" s desktop open one
expect 0 "one" s desktop list
expect 0 "" s desktop log one
expect 3 'there is no desktop "two"; there are: one' s desktop show two
expect 4 "largest share that could be given is 24 GiB" s desktop create big --memory 80GiB
expect 125 "possible: 24 GiB" s run --memory 80GiB -- true
expect 0 "stopped" s desktop stop one --wait
[ "$(free_bytes)" = $((48 << 30)) ] || bad "a stopped desktop holds memory"
expect 0 "ready" s desktop start one --wait
before=$(field one ready_at)
expect 0 "ready" s desktop restart one --wait
[ "$(field one ready_at)" != "$before" ] || bad "restart --wait returned before the restart"
expect 0 "" s desktop restart one
within 20 is one ready
expect 2 "add --yes" s desktop delete one --delete-home
expect 0 "kept" s desktop delete one
within 20 nothing_listed

say "people"
expect 0 "One-time password" s user add lina --display-name "Li Na"
expect 4 "" s user add lina
expect 0 "operator" s user role lina operator
expect 0 "disabled" s user disable lina
expect 0 "enabled" s user enable lina
expect 0 "shown only now" s user reset lina
expect 0 "Li Na" s user list
expect 3 'there is no user "nobody"' s user disable nobody

say "tokens, and the same verbs over TCP"
try s token create ci --scope desktops:read --scope gpus:read
token=$out
expect 0 "ci" s token list
expect 0 "No desktop yet" "$sluice" --server "$url" --token "$token" desktop list
expect 4 "" "$sluice" --server "$url" --token "$token" user list
expect 6 "" "$sluice" --server "$url" --token slc_wrong desktop list
id=$(s token list --json | python3 -c "import json,sys; print(json.load(sys.stdin)[0]['id'])")
expect 0 "revoked" s token revoke "$id"
expect 6 "" "$sluice" --server "$url" --token "$token" desktop list

say "looking after it"
expect 0 "cordoned" s gpu cordon 0
expect 0 "healthy" s gpu uncordon 0
expect 0 "No share is held." s top --once
expect 0 "Nobody waits." s queue list
expect 0 "desktop.create" s audit list
expect 0 '"action":"user.create"' s audit export
expect 0 "rows" s audit verify

say "a second start is silent about the password"
stop_up
mkdir "$work/mps"
touch "$work/mps/control"
CUDA_MPS_PIPE_DIRECTORY=$work/mps start_up
grep -q "one time" "$work/up.log" && bad "the password was printed twice"
grep -q "2 x Sluice simulated GPU 24 GiB" "$work/up.log" || bad "the fleet was forgotten"

say "where MPS divides the card, a command is told its part"
expect 0 "30 /run/sluice/mps control" s run --memory 1GiB --compute 30% -- \
  sh -c 'echo $CUDA_MPS_ACTIVE_THREAD_PERCENTAGE $CUDA_MPS_PIPE_DIRECTORY $(ls /run/sluice/mps)'
rm -r "$work/mps"
