# shellcheck shell=bash
# Sourced by the other scripts: makes a virtual environment where there is none yet, and installs autovul into it.
# AUTOVUL_VENV says where (default: .venv in the checkout); PYTHON says with which interpreter (default: python3).

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${AUTOVUL_VENV:-$root/.venv}"
case "$venv" in /* | [A-Za-z]:*) ;; *) venv="$PWD/$venv" ;; esac # the scripts change folders

# install EXTRAS: installs the checkout as it is, in place, with the given extras ("" for none).
install() {
    local python="${PYTHON:-python3}"
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        echo "autovul needs Python 3.10 or newer; $python is $("$python" --version 2>&1). Set PYTHON to another one." >&2
        return 1
    fi
    if [ ! -x "$venv/bin/python" ]; then
        echo "Making a virtual environment in $venv"
        "$python" -m venv "$venv"
    fi
    echo "Installing autovul and what it needs (PyTorch is some gigabytes; the first time takes minutes)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root$1"
}
