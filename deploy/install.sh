#!/bin/sh
# Installs the platform into .venv: uv, locked and hashed dependencies, compiled bytecode, the project itself in editable mode.
#
#   deploy/install.sh [run|dev]      run = what the platform needs (default); dev = that and the tools of `make test`
#
# Safe to repeat: a finished install is recognised by a stamp that names the lock file's checksum, and an install that was
# interrupted has no stamp and is done again. Prints how long it took and how large the environment is.
set -eu
cd "$(dirname "$0")/.."
kind="${1:-run}"
case "$kind" in
  run) lock=requirements.lock ;;
  dev) lock=requirements-dev.lock ;;
  *) echo "usage: deploy/install.sh [run|dev]" >&2; exit 2 ;;
esac

find_python() {
  for candidate in ${AIW_PYTHON:-} python3.12 python3.11 python3.13 python3; do
    path=$(command -v "$candidate" 2>/dev/null) || continue
    if "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$path"
      return 0
    fi
  done
  echo "install: no Python 3.11, 3.12 or 3.13 found. Install one (Debian 12: apt-get install python3 python3-venv) or set AIW_PYTHON." >&2
  return 1
}

find_uv() {
  if command -v uv >/dev/null 2>&1; then command -v uv; return 0; fi
  if [ ! -x .venv-uv/bin/uv ]; then
    rm -rf .venv-uv
    echo "install: fetching uv into .venv-uv" >&2
    if ! "$1" -m venv .venv-uv >/dev/null 2>&1; then
      rm -rf .venv-uv
      echo "install: '$1 -m venv' does not work here. Install the venv module (Debian 12: apt-get install python3-venv) or uv itself." >&2
      return 1
    fi
    .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check uv >&2
  fi
  echo "$PWD/.venv-uv/bin/uv"
}

stamp_of() { cat pyproject.toml "$1" | cksum | tr ' ' '-'; }
wanted="$(stamp_of "$lock")"
# The development lock holds all that the runtime lock holds, so an environment made for `dev` also serves `run`.
if [ -f ".venv/.installed-$kind" ] && [ "$(cat ".venv/.installed-$kind")" = "$wanted" ]; then exit 0; fi
if [ "$kind" = run ] && [ -f .venv/.installed-dev ] && [ "$(cat .venv/.installed-dev)" = "$(stamp_of requirements-dev.lock)" ]; then exit 0; fi

# A machine behind a proxy trusts its own certificates; so does uv then.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
started=$(date +%s)
python=$(find_python)
uv=$(find_uv "$python")
if [ -d .venv ]; then
  [ -f .venv/.installed-run ] || [ -f .venv/.installed-dev ] || echo "install: .venv is from an unfinished install; completing it" >&2
  rm -f .venv/.installed-run .venv/.installed-dev
  .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || rm -rf .venv
fi
[ -d .venv ] || "$uv" venv --quiet --no-python-downloads --python "$python" .venv
echo "install: $kind dependencies from $lock" >&2
VIRTUAL_ENV="$PWD/.venv"; export VIRTUAL_ENV
"$uv" pip sync --quiet --require-hashes --compile-bytecode "$lock"
"$uv" pip install --quiet --no-deps --no-build-isolation --editable .
env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m compileall -q definitions assets resources sensors api
echo "$wanted" > ".venv/.installed-$kind"
echo "install: done in $(( $(date +%s) - started )) s, $(du -sm .venv | cut -f1) MB" >&2
