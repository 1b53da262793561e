#!/bin/sh
# Build images for the tests of images, out of Debian's packages: tests/images/build.sh gateway analyzer
# Where the kernel lets nobody run a container, it says so in one line, and ends with 0.
set -eu
cd "$(dirname "$0")/../.."
export CONTAINERS_CONF="$PWD/tests/images/containers.conf"
tests/images/base.sh || { echo "images: no base of Debian's packages can be made here"; exit 0; }
podman run --rm --network host --memory 1g --pids-limit 64 --read-only --cap-drop ALL \
    localhost/python:bookworm true || { echo "images: no container runs here, so their tests are left out"; exit 0; }
# With CI set, each is built once, and keeping layers takes half as long again.
set -- "TARGETS=$*" "ARGS=--isolation chroot${CI:+ --layers=false}"
for secret in pip=/etc/pip.conf ca=/etc/ssl/certs/ca-certificates.crt; do
    test ! -e "${secret#*=}" || set -- "$1" "$2 --secret id=${secret%%=*},src=${secret#*=}"
done
exec make --no-print-directory images BUILDER=buildah PYTHON_IMAGE=localhost/python:bookworm "$@"
