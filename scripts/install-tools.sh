#!/usr/bin/env bash
# Installs the programs that some tests run: Debian's `prometheus`, which brings `promtool`. Does nothing when both are there.
set -euo pipefail

say() { echo "install-tools: $*"; }
refuse() {
  say "$*" >&2
  exit 1
}

missing() {
  local program
  for program in prometheus promtool; do
    command -v "$program" > /dev/null || echo -n "$program "
  done
}

wanted=$(missing)
if [ -z "$wanted" ]; then
  say "prometheus and promtool are there ($(command -v prometheus)): nothing to do."
  exit 0
fi
say "missing: $wanted"

command -v apt-get > /dev/null || refuse 'there is no apt-get here. Install Prometheus with promtool by hand, and put both on the PATH.'
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || refuse 'neither root nor sudo: cannot install. Run it as root once.'
  # Asks for no password where nobody could type one.
  if [ -t 0 ]; then as_root=(sudo); else as_root=(sudo -n); fi
fi

as_root+=(env DEBIAN_FRONTEND=noninteractive)
"${as_root[@]}" apt-get update || say 'apt-get update failed (see above): going on with the lists that are here.' >&2
"${as_root[@]}" apt-get install -y --no-install-recommends prometheus || refuse 'apt-get install failed: see above.'

hash -r
wanted=$(missing)
[ -z "$wanted" ] || refuse "the package is installed, but these are not on the PATH: $wanted"
say "installed prometheus $(dpkg-query -W -f '${Version}' prometheus) and promtool."
