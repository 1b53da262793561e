#!/bin/sh
# Make localhost/python:bookworm out of Debian's packages, where no registry of images can be reached.
set -eu
buildah inspect localhost/python:bookworm >/dev/null 2>&1 && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv \
    --dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/locale/* \
    --dpkgopt=path-exclude=/usr/share/man/* bookworm "$work/root.tar"
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/root.tar" / >/dev/null
buildah commit --quiet --rm "$container" localhost/python:bookworm >/dev/null
