#!/usr/bin/env bash
# The solver's program, as `make prove` names it to Cedar's symbolic compiler.
exec "$(dirname "$0")/../.local/venv-proofs/bin/python" "$(dirname "$0")/solver.py" "$@"
