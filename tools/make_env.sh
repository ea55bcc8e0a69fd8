#!/bin/sh
# Create or update a virtual environment: tools/make_env.sh DIR onedl|openmmlab|libraries
# libraries is onedl with lightly and stable-pretraining, to compare with (configs/comparisons/libraries_cifar10.py).
# PYTHON is the interpreter to use, MMCV_WHEELS a folder with onedl-mmcv wheels (default: ../shared/wheels).
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 DIR onedl|openmmlab|libraries" >&2
    exit 2
fi
dir=$1
line=$2
cd "$(dirname "$0")/.."

case $line in
    onedl) newest=14 versions='3.10 or newer' ;;
    openmmlab) newest=11 versions='3.10 or 3.11' ;;
    libraries) newest=13 versions='3.10 to 3.13' ;;
    *)
        echo "$0: the second argument must be onedl, openmmlab or libraries, not '$line'" >&2
        exit 2
        ;;
esac

find_python() {
    for python in ${PYTHON:-python3 python python3.11 python3.12 python3.10 python3.13 python3.14}; do
        if "$python" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $newest))" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "Python $versions is needed, and ${PYTHON:-python3} is not: set PYTHON=/path/to/python3" >&2
    return 1
}

more=
if [ "$line" = libraries ]; then
    line=onedl
    more=requirements/libraries.lock.txt
fi
lock=requirements/$line.lock.txt
stamp=$dir/installed-$(cat setup.py "$lock" ${more:+"$more"} "requirements/$line.txt" "$0" | cksum | tr -d ' ')
[ -f "$stamp" ] && exit 0

if ! "$dir/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "== creating $dir with $("$python" --version)"
    if ! "$python" -m venv --clear "$dir"; then
        echo "$python cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
fi
rm -f "$dir"/installed-*

pip() { "$dir/bin/python" -m pip --disable-pip-version-check "$@"; }

echo "== torch (about 3 GB to download, 6 GB on disk; takes minutes)"
pip install --constraint "$lock" torch torchvision numpy setuptools wheel

echo '== the other packages'
pip install --quiet --no-deps --requirement "$lock" ${more:+--requirement "$more"}

if [ "$line" = onedl ]; then
    # Without a wheel at hand, this builds one without compiled ops in seconds, which is enough for pretraining. The
    # cache of pip would confuse this wheel with one that has ops, hence --no-cache-dir.
    wheels=${MMCV_WHEELS:-../shared/wheels}
    [ -d "$wheels" ] || wheels=requirements
    pip install --no-deps --no-cache-dir --find-links "$wheels" "$(grep '^onedl-mmcv' requirements/onedl.txt)"
fi

echo '== lewel_plugins'
# The modern kind of editable install, even with an old pip: the other kind puts links into the clone (see setup.py),
# which would break other environments of the same clone.
PIP_USE_PEP517=1 pip install --quiet --no-deps --no-build-isolation --editable .
"$dir/bin/python" -c 'import cv2, mmengine, lewel_plugins, mmpretrain.models'
touch "$stamp"
echo "== $dir is ready"
