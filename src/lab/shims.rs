//! Stand-ins for commands that would touch this machine. Knows nothing of plans.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::dir::write_script;
use super::{LabError, hosts, io};

/// Where they lie in the lab's folder.
pub(super) const BIN: &str = "bin";

const RECORDED: [&str; 11] =
    ["systemctl", "service", "shutdown", "poweroff", "halt", "init", "telinit", "mail", "sendmail", "mailx", "wall"];

/// Writes down what it was asked, and does nothing.
const RECORD: &str = r#"#!/bin/sh
# Stands for a command that would touch this machine: writes down what it was asked, and does nothing.
direction=${RUNBOOK_DIRECTION:-}
if [ -z "$direction" ]; then
    # Only the commands of a rollback are told an outcome.
    if [ -n "${RUNBOOK_OUTCOME:-}" ]; then
        direction=undo
    elif [ -n "${RUNBOOK_STEP:-}" ]; then
        direction=do
    else
        direction=-
    fi
fi
printf '%s %s %s %s\n' "$LAB_HOST" "${RUNBOOK_STEP:--}" "$direction" "${0##*/} $*" >>"$LAB_DIR/effects.log"
"#;

/// Restarts the lab's host, as `reboot` restarts a machine: it returns at once, and soon everything of the host is ended
/// by force. For a moment nobody can log in; then the host has another boot id, and the plan's `boot` starts its services.
const REBOOT: &str = r#"#!/bin/sh
# Stands for the restart of a machine: everything of this host is ended, then it has another boot id.
if [ "${1:-}" != now ]; then
    printf '%s %s %s reboot\n' "$LAB_HOST" "${RUNBOOK_STEP:--}" "${RUNBOOK_OUTCOME:+un}do" >>"$LAB_DIR/effects.log"
    # Not a part of the attempt that asks for it.
    env -u RUNBOOK_COOKIE -u RUNBOOK_STEP -u RUNBOOK_OUTCOME LAB_RESTARTS=1 setsid sh "$0" now </dev/null >/dev/null 2>&1 &
    exit 0
fi
has() { tr '\0' '\n' <"$1/environ" 2>/dev/null | grep -qxF "$2"; }
sleep 0.2
: >"$LAB_HOST_DIR/.down"
# Again and again: what was about to start another process did so.
found=1
while [ -n "$found" ]; do
    found=
    for dir in /proc/[0-9]*; do
        has "$dir" "LAB_HOST_DIR=$LAB_HOST_DIR" && ! has "$dir" LAB_RESTARTS=1 || continue
        # The connections of the host are cut with it.
        parent=$(sed 's/.*) [A-Z] //; s/ .*//' "$dir/stat" 2>/dev/null)
        case $(cat "/proc/$parent/comm" 2>/dev/null) in sshd*) kill -KILL "$parent" 2>/dev/null ;; esac
        kill -KILL "${dir#/proc/}" 2>/dev/null && found=1
    done
done
sleep 1
cat /proc/sys/kernel/random/uuid >"$LAB_HOST_DIR/.boot_id"
rm -f "$LAB_HOST_DIR/.down"
unset LAB_RESTARTS
[ ! -x "$LAB_BOOT" ] || exec "$LAB_BOOT"
"#;

/// Executes the command as the user who started the lab: the lab has no other users.
const SUDO: &str = r#"#!/bin/sh
# In the lab everything is executed as the user who started it.
while [ $# -gt 0 ]; do
    case $1 in
        --) shift; break ;;
        -u | -g | -p | -C) shift; [ $# -eq 0 ] || shift ;;
        -*) shift ;;
        *=*) export "$1"; shift ;;
        *) break ;;
    esac
done
[ $# -eq 0 ] || exec "$@"
"#;

pub(super) fn write(dir: &Path) -> Result<(), LabError> {
    let bin = dir.join(BIN);
    fs::create_dir(&bin).map_err(io("make", &bin))?;
    for name in RECORDED {
        let path = bin.join(name);
        write_script(&path, RECORD).map_err(io("write", &path))?;
    }
    for (name, script) in [("sudo", SUDO), ("reboot", REBOOT)] {
        let path = bin.join(name);
        write_script(&path, script).map_err(io("write", &path))?;
    }
    Ok(())
}

/// Makes stand-ins for those commands that are found nowhere; gives their names.
pub(super) fn stand_in(commands: &BTreeSet<String>, dir: &Path) -> Result<Vec<String>, LabError> {
    let path = hosts::path_of(None, dir);
    let found = |name: &str| path.split(':').any(|folder| Path::new(folder).join(name).is_file());
    let missing: Vec<String> = commands.iter().filter(|name| !found(name)).cloned().collect();
    for name in &missing {
        let path = dir.join(BIN).join(name);
        write_script(&path, RECORD).map_err(io("write", &path))?;
    }
    Ok(missing)
}
