#!/bin/sh
# Puts release $VERSION of Application 2 on this host, the first one that knows two databases, and starts it.
set -eu

release backend "$VERSION"
systemctl start backend
