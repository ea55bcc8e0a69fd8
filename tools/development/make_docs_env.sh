#!/bin/sh
# Create the environment that builds the documentation site: tools/development/make_docs_env.sh DIR BASE
# BASE is an environment of tools/make_env.sh, whose packages DIR sees, because Sphinx imports what it documents.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 DIR BASE" >&2
    exit 2
fi
dir=$1
base=$2
lock="$(dirname "$0")/../../requirements/docs.lock.txt"
stamp=$dir/installed-$(cat "$lock" "$0" | cksum | tr -d ' ')
[ -f "$stamp" ] && exit 0

echo "== creating $dir"
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
"$base/bin/python" -m venv --clear "$dir"
"$dir/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --requirement "$lock"
packages "$base" >"$(packages "$dir")/base.pth"
"$dir/bin/python" -c 'import sphinx, furo, myst_nb, lewel_plugins'
touch "$stamp"
