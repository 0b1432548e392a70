#!/bin/sh
# Puts release $VERSION of Application 1 on this host and starts it; its configuration is there already.
set -eu

release web "$VERSION"
systemctl start web
