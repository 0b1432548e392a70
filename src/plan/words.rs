//! Words that people bring along: nearest names for typing mistakes, and other tools' words for ours. Knows no plan.

/// The name nearest to `word`, if one is near enough to be a typing mistake. The first of equally near ones wins.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let simple = |s: &str| s.to_lowercase().replace('-', "_");
    let wanted = simple(word);
    if wanted.len() > 80 {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let distance = strsim::damerau_levenshtein(&wanted, &simple(name));
        let limit = (wanted.chars().count().max(name.chars().count()) / 3).max(1);
        // A name of one or two letters is near to everything.
        let near = distance <= limit && (distance == 0 || name.chars().count() > 2);
        if near && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// What a word of another tool is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// Beside the place: "is called `needs` here".
    pub says: &'static str,
    pub help: &'static str,
    /// The key to write instead, where nothing else must change.
    pub rename: Option<&'static str>,
}

const fn rename(says: &'static str, new: &'static str, help: &'static str) -> Word {
    Word { says, help, rename: Some(new) }
}

const fn other(says: &'static str, help: &'static str) -> Word {
    Word { says, help, rename: None }
}

/// Our word for a key that another tool (or another place of a plan) uses. `record` is the type it stands in.
#[must_use]
pub fn translate(record: &str, key: &str) -> Option<Word> {
    match record {
        "RawStep" => step_word(key),
        "RawPlan" => plan_word(key),
        "RawWindow" => window_word(key),
        "RawRollback" => rollback_word(key),

        _ => None,
    }
}

fn step_word(key: &str) -> Option<Word> {
    Some(match key {
        "depends_on" | "depends" | "dependencies" | "requires" | "after" | "need" => {
            rename("is called `needs` here", "needs", "write `needs: [a, b]`")
        }
        "if" | "condition" | "preconditions" | "only_if" => {
            rename("is called `when` here", "when", "write an expression without braces: `when: DB_CHANGES`")
        }
        "serial" | "forks" | "throttle" | "max_concurrent" | "max-parallel" | "parallelism" | "max_parallel"
        | "batch" => rename(
            "is called `at_once` here",
            "at_once",
            "a number or a percentage of the group: `at_once: 20` or `at_once: 30%`",
        ),
        "max_fail_percentage" | "fail-fast" | "max_failures" => other(
            "is called `allow_failed` here",
            "write `allow_failed: 2%`: at most so many hosts may fail, unreachable ones included",
        ),
        "command"
        | "cmd"
        | "shell_command"
        | "ansible.builtin.command"
        | "ansible.builtin.shell"
        | "exec"
        | "commands"
        | "raw" => rename("is called `run` here", "run", "write `run: COMMAND`"),
        "ansible.builtin.script" => rename("is called `script` here", "script", "write `script: FILE`"),
        "ansible.builtin.copy" => rename("is called `copy` here", "copy", "write `copy: {src, dest, mode, owner}`"),
        "ansible.builtin.template" => {
            rename("is called `template` here", "template", "write `template: {src, dest, mode, owner}`")
        }
        "uri" | "ansible.builtin.uri" => other("is called `http` here", "write `http: {url: ..., expect: 200}`"),
        "assert" | "check" | "healthcheck" | "sanity" | "failed_when" => {
            other("is called `test` here", "write `test: COMMAND`; it must exit 0")
        }
        "service" | "systemd" | "ansible.builtin.service" | "ansible.builtin.systemd" => {
            other("there are no modules here", "write the command: `run: systemctl restart NAME`")
        }
        "apt" | "yum" | "dnf" | "package" | "file" | "lineinfile" | "get_url" | "unarchive" | "git" | "pip" => {
            other("there are no modules here", "write the command with `run`, and its counterpart with `rollback`")
        }
        "upload" => rename("is called `copy` here", "copy", "write `copy: {src, dest, mode, owner}`"),
        "pause" | "approval" | "manual" | "block" | "prompt" | "ask" | "confirm" | "suspend" => {
            other("is called `gate` here", "write `gate: THE QUESTION`, or `wait: {for: 10m}` to wait only")
        }
        "become" => other("is called `sudo` or `user` here", "write `sudo: true`, or `user: NAME`"),
        "become_user" | "run_as" | "remote_user" => rename("is called `user` here", "user", "write `user: NAME`"),
        "run_once" => other("there is no such key", "name the one host: `hosts: db1`"),
        "delegate_to" | "host" | "runs-on" | "runs_on" | "target" | "targets" => {
            rename("is called `hosts` here", "hosts", "write a group, a host or a list: `hosts: [web1, web2]`")
        }
        "timeout-minutes" | "timeout_minutes" | "timeout_sec" | "timeout_seconds" | "activeDeadlineSeconds" => {
            other("is called `timeout` here", "the unit belongs to the value: `timeout: 30m`")
        }
        "retries" | "attempts" => {
            rename("is called `retry` here", "retry", "further tries: `retry: 2` or `retry: {times: 2, wait: 30s}`")
        }
        "delay" | "until" | "retry_policy" | "retryStrategy" | "repeat_policy" => other(
            "belongs to `retry` or `wait` here",
            "write `retry: {times: 3, wait: 30s}` or `wait: {until: COMMAND, every: 10s}`",
        ),
        "environment" => rename("is called `env` here", "env", "write `env: {NAME: value}`"),
        "working-directory" | "working_dir" | "chdir" | "cwd" | "workdir" => {
            rename("is called `dir` here", "dir", "write `dir: /path`")
        }
        "undo" | "revert" | "backout" | "rescue" | "compensate" | "down" => rename(
            "is called `rollback` here",
            "rollback",
            "write `rollback: COMMAND`, or `rollback: {run: COMMAND, estimate: 10m}`",
        ),
        "undo_timeout" | "rollback_timeout" => {
            other("belongs to `rollback`", "write `rollback: {run: COMMAND, timeout: 10m}`")
        }
        "ignore_errors" | "continue_on_error" | "continue-on-error" | "continue_on" | "allow_failure" => {
            other("is called `on_failure` here", "write `on_failure: continue`")
        }
        "on_error" | "on_fail" | "handler_on" => {
            other("is called `on_failure` here", "write `on_failure: rollback`, `ask` or `continue`")
        }
        "default" => other(
            "a gate cannot approve by itself",
            "remove it: without an answer by *roll back by*, the plan rolls back",
        ),
        "id" | "name" => other(
            "the name of a step is its key under `steps:`",
            "write `steps: {deploy: {run: ...}}`; use `say` for a sentence",
        ),
        "description" | "comment" | "title" => {
            other("is called `say` here", "write `say: SENTENCE`, or a comment with `#`")
        }
        "register" => other(
            "is called `outputs` here",
            "write `outputs: [name]`; the command writes `name=value` to \"$RUNBOOK_OUTPUT\"",
        ),
        "with_items" | "loop" | "matrix" | "strategy" | "foreach" => {
            other("there are no loops here", "a step runs on each of its `hosts`; write one step for each thing to do")
        }
        "notify" | "handlers" => other("belongs to the plan, not to a step", "write `notify:` at the top of the plan"),
        "vars" => other("belongs to the plan or to `template`", "write `env: {NAME: value}` for this step"),
        "on_quick" => other("belongs to `expect`", "write `expect: {min: 5m, on_quick: hold}`"),
        "duration" | "estimated" => {
            rename("is called `estimate` here", "estimate", "write `estimate: 20m-30m` (expected - worst)")
        }
        "on" | "off" | "yes" | "no" => {
            other("is not a key, and YAML 1.1 readers take it for true or false", "say `hosts` or `when`")
        }
        _ => return None,
    })
}

fn plan_word(key: &str) -> Option<Word> {
    Some(match key {
        "tasks" | "jobs" | "stages" | "task" | "pipeline" => {
            rename("is called `steps` here", "steps", "write `steps:` with one entry for each step")
        }
        "variables" | "params" | "parameters" | "env" | "environment" => {
            rename("is called `vars` here", "vars", "write `vars: {NAME: value}`")
        }
        "version" | "plan" | "apiVersion" => {
            other("the format's version is `runbook: 1`", "write `runbook: 1` and `name: TEXT`")
        }
        "tz" | "time_zone" | "zone" => {
            rename("is called `timezone` here", "timezone", "write `timezone: Europe/Berlin`")
        }
        "opens" | "closes" | "reserve" | "lasts" | "on_deadline" | "max_extension" => {
            other("belongs to `window`", "write `window: {opens: ..., closes: ..., reserve: 15m}`")
        }
        "rollback_test" | "afterRollback" => rename(
            "is called `after_rollback` here",
            "after_rollback",
            "write `after_rollback: {hosts: ..., test: ...}`",
        ),
        "groups" => rename("is called `hosts` here", "hosts", "write `hosts: {GROUP: [a, b]}`"),
        "serial" | "forks" => rename("is called `at_once` here", "at_once", "write `at_once: 20`"),
        "description" => other("is called `name` here", "write `name: TEXT`, or a comment with `#`"),
        _ => return None,
    })
}

fn window_word(key: &str) -> Option<Word> {
    Some(match key {
        "from" | "start" | "begin" | "starts" | "open" => {
            rename("is called `opens` here", "opens", "write `opens: \"2026-11-28 01:30\"`")
        }
        "to" | "end" | "ends" | "until" | "close" => {
            rename("is called `closes` here", "closes", "write `closes: \"2026-11-28 07:00\"`")
        }
        "margin" | "buffer" => rename("is called `reserve` here", "reserve", "write `reserve: 15m`"),
        "tz" | "timezone" | "zone" => {
            other("belongs to the plan", "write `timezone: Europe/Berlin` at the top of the plan")
        }
        "date" | "day" => other("belongs to the times", "write `opens: \"2026-11-28 01:30\"`"),
        "duration" | "length" => rename("is called `lasts` here", "lasts", "write `lasts: 8h`"),
        _ => return None,
    })
}

fn rollback_word(key: &str) -> Option<Word> {
    Some(match key {
        "command" | "cmd" | "shell" => {
            rename("is called `run` here", "run", "write `rollback: {run: COMMAND, estimate: 10m}`")
        }
        "host" => rename("is called `hosts` here", "hosts", "write `hosts: NAME`"),
        "retries" => rename("is called `retry` here", "retry", "write `retry: 2`"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("timeuot", ["times", "timeout", "run"]), Some("timeout"));
        assert_eq!(nearest("backup_db", ["backup-db", "backup"]), Some("backup-db"));
        assert_eq!(nearest("xyz", ["run", "hosts"]), None);
        assert_eq!(nearest("of", ["at", "if"]), None);
    }

    #[test]
    fn renamed_words_exist() {
        use crate::plan::raw::RawStep;
        for word in ["depends_on", "serial", "command", "environment", "undo", "retries", "cwd", "become_user"] {
            let to = step_word(word).and_then(|w| w.rename).expect("a rename");
            assert!(RawStep::KEYS.contains(&to), "{to}");
        }
    }
}
