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

# Is there what this environment needs? Ops for CPUs do not serve where torch sees a GPU. torch is imported first, because
# the ops link against its libraries.
"$dir/bin/python" -c 'import sys, torch, mmcv._ext
from mmcv.ops import get_compiling_cuda_version
sys.exit(torch.cuda.is_available() and get_compiling_cuda_version() == "not available")' 2>/dev/null && exit 0

# On a login node, which has no GPU, mmcv would build ops for CPUs only. nvcc is what it needs to build the others.
if [ "${FORCE_CUDA:-1}" = 1 ] && command -v nvcc >/dev/null; then
    needs=$("$dir/bin/python" -c 'import torch; print((torch.version.cuda or "none").split(".")[0])')
    has=$(nvcc --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    if [ "$needs" != "$has" ]; then
        echo "$0: nvcc is of CUDA $has, and torch of CUDA $needs: load the CUDA module of that version, or set" \
            'FORCE_CUDA=0 to build ops for CPUs only' >&2
        exit 1
    fi
    export FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST="${TORCH_CUDA_ARCH_LIST:-8.0;9.0+PTX}"
fi

echo "== compiling mmcv's ops, once for $dir (about 17 minutes on two cores)"
MMCV_WITH_OPS=1 "$dir/bin/python" -m pip --disable-pip-version-check install --verbose --no-deps --no-build-isolation \
    --no-cache-dir --force-reinstall --no-binary onedl-mmcv "$(grep '^onedl-mmcv' requirements/onedl.txt)"
"$dir/bin/python" -c 'import torch, mmcv._ext'
