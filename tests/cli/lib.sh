# SPDX-License-Identifier: Apache-2.0
# For shell tests of the program `sluice`: an instance of the test's own, and words to say what is
# expected. Sourced; the test ends with the number of failed expectations.
set -u
export LC_ALL=C.UTF-8
unset SLUICE_STATE SLUICE_SERVER SLUICE_TOKEN
build=${SLUICE_BUILD_DIR:?the build folder}
sluice=$build/bin/sluice
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-test-XXXXXX")
state=$work/state
up_pid=
failed=0

say() { printf '== %s\n' "$*"; }
bad() { printf 'FAILED: %s\n' "$*"; failed=$((failed + 1)); }

# Runs a command; its output is in $out, its exit code in $code.
try() { out=$("$@" 2>&1) && code=0 || code=$?; }
s() { "$sluice" --state "$state" "$@"; }

# expect CODE TEXT COMMAND…: it ends with CODE and says TEXT (a fixed string; empty: anything).
expect() {
  local want=$1 text=$2
  shift 2
  try "$@"
  [ "$code" = "$want" ] || bad "$* ended with $code, not $want: $out"
  case "$out" in *"$text"*) ;; *) bad "$* did not say \"$text\" but: $out" ;; esac
}

# within SECONDS COMMAND…: it succeeds by then.
within() {
  local end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -le "$end" ] || { bad "never came true: $*"; return 1; }
    read -r -t 0.1 _ <>"$work/never" || true
  done
}
mkfifo "$work/never"

# start_up [OPTIONS…]: `sluice up` in the background; $url is its address.
start_up() {
  : >"$work/up.log" # The one of an earlier start would answer for this one.
  "$sluice" up --state "$state" --port 0 "$@" >"$work/up.log" 2>&1 &
  up_pid=$!
  within 30 grep -q 'Ctrl-C' "$work/up.log" || { cat "$work/up.log"; finish; }
  url=$(sed -n 's/^  address  *//p' "$work/up.log")
}
stop_up() {
  [ -n "$up_pid" ] || return 0
  kill -TERM "$up_pid" 2>/dev/null
  wait "$up_pid" 2>/dev/null
  up_pid=
}
kill_up() {
  kill -KILL "$up_pid"
  wait "$up_pid" 2>/dev/null
  up_pid=
}

# field NAME FIELD: of a desktop's JSON.
field() { s desktop show "$1" --json | python3 -c "import json,sys; print(json.load(sys.stdin)['$2'])"; }
is() { [ "$(field "$1" state)" = "$2" ]; }
free_bytes() {
  s gpu list --json | python3 -c "import json,sys; print(sum(g['free_bytes'] for g in json.load(sys.stdin)))"
}
nothing_listed() { [ "$(s desktop list --json)" = "[]" ]; }

# Removes the volatile folder of a state folder; its name is a hash of the path, see instance/.
forget() {
  local name
  name=sluice-$(python3 -c "
import sys
h = 2166136261
for c in sys.argv[1].encode():
    h = (h ^ c) * 16777619 & 0xFFFFFFFF
print('%08x' % h)" "$1")
  rm -rf "/run/$name" "${XDG_RUNTIME_DIR:-/tmp}/$name" "/tmp/$name-$(id -u)" 2>/dev/null
}

# Ends what the test started and removes what it made, also when it failed.
finish() {
  trap - EXIT
  if [ -d "$state" ]; then
    if [ -z "$up_pid" ] || ! kill -0 "$up_pid" 2>/dev/null; then
      "$sluice" up --state "$state" --port 0 >"$work/last.log" 2>&1 &
      up_pid=$!
      within 30 grep -q 'Ctrl-C' "$work/last.log"
    fi
    for id in $(s desktop list --json | python3 -c "import json,sys; [print(d['id']) for d in json.load(sys.stdin)]"); do
      s desktop delete "$id" --delete-home --yes >/dev/null
    done
    within 30 nothing_listed || cat "$work/up.log"
    stop_up
  fi
  for folder in "$state" "$work"/*/; do forget "${folder%/}"; done
  rm -rf "$work"
  [ "$failed" = 0 ] && say "all well" || say "$failed expectations failed"
  exit "$((failed > 0))"
}
trap finish EXIT
trap 'exit 1' INT TERM
