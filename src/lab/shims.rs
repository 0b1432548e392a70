//! Stand-ins for commands that would touch this machine. Knows nothing of plans.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::dir::write_script;
use super::{LabError, hosts, io};

/// Where they lie in the lab's folder.
pub(super) const BIN: &str = "bin";

const RECORDED: [&str; 12] = [
    "systemctl",
    "service",
    "reboot",
    "shutdown",
    "poweroff",
    "halt",
    "init",
    "telinit",
    "mail",
    "sendmail",
    "mailx",
    "wall",
];

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
    let path = bin.join("sudo");
    write_script(&path, SUDO).map_err(io("write", &path))
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
