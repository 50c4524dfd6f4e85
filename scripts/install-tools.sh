#!/usr/bin/env bash
# Installs the programs that some tests run: Debian's `prometheus`, which brings `promtool`, and `valgrind`. Does nothing
# when all are there.
set -euo pipefail

say() { echo "install-tools: $*"; }
refuse() {
  say "$*" >&2
  exit 1
}

missing() {
  local program
  for program in prometheus promtool valgrind; do
    command -v "$program" > /dev/null || echo -n "$program "
  done
}

wanted=$(missing)
if [ -z "$wanted" ]; then
  say "prometheus, promtool and valgrind are there ($(command -v prometheus), $(command -v valgrind)): nothing to do."
  exit 0
fi
say "missing: $wanted"

command -v apt-get > /dev/null || refuse 'there is no apt-get here. Install Prometheus with promtool, and valgrind, by hand, and put them on the PATH.'
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || refuse 'neither root nor sudo: cannot install. Run it as root once.'
  # Asks for no password where nobody could type one.
  if [ -t 0 ]; then as_root=(sudo); else as_root=(sudo -n); fi
fi

packages=()
for program in $wanted; do
  case $program in
    valgrind) packages+=(valgrind) ;;
    *) [[ " ${packages[*]} " == *' prometheus '* ]] || packages+=(prometheus) ;;
  esac
done
as_root+=(env DEBIAN_FRONTEND=noninteractive)
"${as_root[@]}" apt-get update || say 'apt-get update failed (see above): going on with the lists that are here.' >&2
"${as_root[@]}" apt-get install -y --no-install-recommends "${packages[@]}" || refuse 'apt-get install failed: see above.'

hash -r
wanted=$(missing)
[ -z "$wanted" ] || refuse "the packages are installed, but these are not on the PATH: $wanted"
say "installed $(dpkg-query -W -f '${Package} ${Version} ' "${packages[@]}")"
