#!/bin/sh
# Compile mmcv's ops once into an environment of tools/make_env.sh: tools/build_ops.sh DIR
# This needs a C++ compiler, Python's headers, and about 17 minutes on two cores.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
dir=$1
cd "$(dirname "$0")/.."

# torch is imported first, because the ops link against its libraries.
"$dir/bin/python" -c 'import torch, mmcv._ext' 2>/dev/null && exit 0

echo "== compiling mmcv's ops, once for $dir (about 17 minutes on two cores)"
MMCV_WITH_OPS=1 "$dir/bin/python" -m pip --disable-pip-version-check install --verbose --no-deps --no-build-isolation \
    --no-cache-dir --force-reinstall --no-binary onedl-mmcv "$(grep '^onedl-mmcv' requirements/onedl.txt)"
"$dir/bin/python" -c 'import torch, mmcv._ext'
