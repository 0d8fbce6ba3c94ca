#!/bin/sh
# Build the wheel, install it in an empty virtual environment away from the checkout, and upscale a video with
# the weights it carries, without network. Run by `make wheel`.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${BUILD_PYTHON:-$here/.venv/bin/python}" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work" "$here"
"${PYTHON:-python3}" -m venv "$work/venv"
install() { "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$here/constraints.txt" "$@"; }
if [ -n "${TORCH_INDEX:-}" ]; then
    install --no-deps --retries 1 --index-url "$TORCH_INDEX" torch || echo "PyTorch comes from PyPI"
fi
install "$work"/*.whl
cp "$here/examples/bbb.mp4" "$work/in.mp4"
cd "$work"
env -u PYTHONPATH HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
    "$work/venv/bin/edvr" upscale in.mp4 out.mp4 --frames 3
"$work/venv/bin/python" - <<'PYTHON'
import av
import edvr_cli
from edvr_cli.models.registry import find_model

assert "site-packages" in edvr_cli.__file__, edvr_cli.__file__
assert "site-packages" in str(find_model("edvr-s-x4")), find_model("edvr-s-x4")
with av.open("out.mp4") as video:
    stream = video.streams.video[0]
    assert (stream.width, stream.height) == (1280, 720), stream
    assert sum(1 for _ in video.decode(stream)) == 3
PYTHON
echo "the wheel works by itself"
