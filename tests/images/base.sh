#!/bin/sh
# Make localhost/python:bookworm out of Debian's packages, where no registry of images can be reached.
set -eu
podman image exists localhost/python:bookworm && exit
root=$(mktemp -d)
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" >/dev/null
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/locale
tar -C "$root" -c . | podman import --quiet - localhost/python:bookworm
rm -rf "$root"
