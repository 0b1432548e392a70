#!/bin/sh
# Puts release $VERSION of the back-end on this host, starts it, and waits until it answers.
# Safe to run twice, and after any half of itself.
set -eu

service=callcentre-be
health=localhost:8081/health
limit=40                                # tries, a quarter of a second apart

say() { printf '%s: %s\n' "$service" "$*"; }

release_is_there() {
    say "installing release $VERSION"
    install-backend "$VERSION"
}

it_answers() {
    tries=0
    until curl -fsS "$health" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -ge "$limit" ]; then
            say "no answer at $health" >&2
            return 1
        fi
        sleep 0.25
    done
    say "answers: $(curl -fsS "$health")"
}

release_is_there
say "starting"
systemctl start "$service"
it_answers
