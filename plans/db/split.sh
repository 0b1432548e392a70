#!/bin/sh
# Moves the orders into a database of their own on $ORDERS_DB: copy, compare, and only then switch.
# Executed on the database host. Safe to run again: what is copied already is compared, not copied twice.
set -eu

db-split --copy "$ORDERS_DB"
db-split --compare "$ORDERS_DB"
db-split --switch "$ORDERS_DB"
