#!/bin/sh
# Rewrites the two lock files from pyproject.toml: every version pinned, every file hashed, no address of any registry inside.
set -eu
cd "$(dirname "$0")/.."
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
uv=$(command -v uv || echo .venv-uv/bin/uv)
compile() { "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --custom-compile-command deploy/lock.sh "$@" pyproject.toml; }
compile --extra build --output-file requirements.lock
compile --extra build --extra dev --constraint requirements.lock --output-file requirements-dev.lock
