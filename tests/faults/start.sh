#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `sluice up` says when it cannot start, or when a desktop cannot.
. "$(dirname "$0")/../cli/lib.sh"

say "two on one state folder"
start_up --simulate 1x24GiB
expect 1 "already runs on $state (process $up_pid, $url)" "$sluice" up --state "$state" --port 0
expect 0 "" s gpu list

say "a port that is taken"
port=${url##*:}
expect 1 "$port" "$sluice" up --state "$work/other" --port "$port" --simulate 1x24GiB
case "$out" in *--port*) ;; *) bad "no advice: $out" ;; esac
stop_up

say "an address that is not loopback is served with TLS"
start_up --address 0.0.0.0
grep -q 'address     https://' "$work/up.log" || bad "no TLS: $(cat "$work/up.log")"
print=$(sed -n 's/^  certificate SHA-256 //p' "$work/up.log")
port=${url##*:}
token=$(s token create t --scope gpus:read)
expect 0 "24 GiB" "$sluice" --server "https://127.0.0.1:$port" --token "$token" --fingerprint "$print" gpu list
expect 5 "" "$sluice" --server "https://127.0.0.1:$port" --token "$token" gpu list
stop_up

say "a state folder that cannot be made, written, or is too long"
expect 1 "Choose another one with --state DIR" "$sluice" up --state /proc/sluice --port 0
long=$work/$(printf 'x%.0s' $(seq 120))
expect 1 "too long" "$sluice" up --state "$long" --port 0
if [ "$(id -u)" = 0 ]; then
  mkdir "$work/ro"
  expect 1 "Read-only file system" unshare -m sh -c \
    "mount -t tmpfs -o ro none $work/ro && exec $sluice up --state $work/ro --port 0"
else
  mkdir -m 500 "$work/ro"
  expect 1 "Permission denied" "$sluice" up --state "$work/ro" --port 0
fi

say "a state that a newer version wrote, or that is damaged"
mkdir "$work/newer" "$work/broken"
cp "$state/sluice.db" "$work/newer/"
python3 -c "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute('PRAGMA user_version=999')" "$work/newer/sluice.db"
expect 1 "newer Sluice" "$sluice" up --state "$work/newer" --port 0
head -c 65536 /dev/urandom >"$work/broken/sluice.db"
expect 1 "" "$sluice" up --state "$work/broken" --port 0

say "wrong words"
expect 1 "" "$sluice" up --state "$work/x" --port 0 --simulate lots
expect 2 "" "$sluice" up --state "$work/x" --port 99999

say "a program that is missing is named with the command that installs it"
: >"$work/up.log"
own_mounts=(unshare -m)
[ "$(id -u)" = 0 ] || own_mounts=(unshare --map-current-user --keep-caps -m)
"${own_mounts[@]}" sh -c "mount --bind /dev/null /usr/bin/Xtigervnc && exec $sluice up --state $state --port 0" \
  >"$work/up.log" 2>&1 &
up_pid=$!
within 30 grep -q 'Ctrl-C' "$work/up.log"
grep -q 'note  *No desktop can start: .*apt-get install tigervnc' "$work/up.log" || bad "no note: $(cat "$work/up.log")"
expect 1 "apt-get install tigervnc-standalone-server" s desktop create one --memory 1GiB --wait
[ "$(free_bytes)" = $((24 << 30)) ] || bad "a desktop that could not start holds memory"
stop_up
start_up
expect 0 "ready" s desktop start one --wait
