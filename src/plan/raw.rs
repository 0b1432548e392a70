//! The plan language, key by key: what may be written, before any of it is resolved. Knows no rule between two keys.
//!
//! The doc comments of the fields are the descriptions in the JSON Schema that `runbook schema plan` prints.

use super::decode::{key_of, record};
use super::scalars::{Choice, Length, Mode, Range, Share, Whole};
use super::shapes::{
    AfterText, Anything, Contact, Drainage, Groups, InventoryText, NeedText, NotifyText, Request, RetryText, Setting,
    UndoText,
};
use super::span::Spanned;
use super::units::Size;

pub use super::decode::{Field, Table};

/// One value or a list of them.
pub type Many<T> = Vec<Spanned<T>>;

record! {
    /// A deployment plan for runbook.
    RawPlan as "runbook: 1", required ["runbook", "steps"] {
        /// Version of the plan's format: 1.
        runbook: Whole<1, 1>,
        /// What this night is called, on screens and in the report.
        name: String,
        /// IANA zone of the clock times, such as Europe/Berlin. Required as soon as there is a clock time.
        timezone: String,
        /// The agreed time.
        window: RawWindow,
        /// Groups of hosts.
        hosts: Groups,
        /// Groups of hosts from a file, or from a command that prints them.
        inventory: InventoryText,
        /// Variables; every step sees them in its environment, and as {{ name }} in commands.
        vars: Table<Setting>,
        /// Who takes part; shown at gates and in the report.
        people: Table<Contact>,
        /// Values for all steps that do not say otherwise: any step key except verbs and `needs`.
        defaults: Box<RawStep>,
        /// Capacities that steps share, such as {dba: 1}.
        resources: Table<Whole<1, 10000>>,
        /// Who is told what happens.
        notify: Many<NotifyText>,
        /// Plans that must have been executed well before this one: their names, or {plan, digest}.
        after: Many<AfterText>,
        /// A test that proves that the old version is back.
        after_rollback: Box<RawStep>,
        /// One, few, many: parts of the inventory, each with its own window.
        waves: Many<RawWave>,
        /// `all`: every host of the inventory must be in exactly one wave.
        covers: Choice<Covers>,
        /// How many actions may run at the same time, over the whole plan.
        at_once: Size,
        /// Ask before going on when the run is less likely than this to end in time, such as 80%.
        ask_below: Size,
        /// The steps, by name.
        steps: Table<Box<RawStep>>,
    }
}

record! {
    /// The agreed time: from `opens` to `closes`, or so long from the start.
    RawWindow as "opens:", required [] {
        /// Clock time at which work may start, such as "2026-11-28 01:30".
        opens: String,
        /// Clock time at which the system must be up again. Without a date: the next such time after `opens`.
        closes: String,
        /// Instead of clock times: the window opens when exec is started and is so long.
        lasts: Length,
        /// Kept free after a rollback. 15m where nothing is written.
        reserve: Length,
        /// The most by which the window may be extended during the night.
        max_extension: Length,
        /// What happens when the last moment to roll back passes with the run unfinished.
        on_deadline: Choice<super::model::OnDeadline>,
        /// Which of the two hours is meant when clocks go back: first or second.
        fold: Choice<Fold>,
    }
}

record! {
    /// One entry under `steps:`: what it waits for, where it runs, what it does, and how that is undone.
    RawStep as "run:", required [] {
        /// Steps that must be done before. All or nothing in a file: every step says it, or none does.
        needs: Many<NeedText>,
        /// Where: a group, a host, a list of them, `local`, `all`, or `wave`.
        hosts: Many<String>,
        /// A minijinja expression; where it is false the step is skipped, which counts as done.
        when: String,
        /// A shell command line.
        run: String,
        /// A file beside the plan, copied to the host and executed.
        script: String,
        /// A file or directory, verified by checksum, replaced atomically; undoes itself.
        copy: RawCopy,
        /// The same from templates/, rendered first; undoes itself.
        template: RawTemplate,
        /// A command that judges: it must exit 0, and only reads.
        test: String,
        /// A request from the controller that judges.
        http: Request,
        /// A question to people: approve, approve with defects, reject.
        gate: String,
        /// Waiting: {for: 10m}, {at: "02:00"} or {until: COMMAND, every: 10s}.
        wait: RawWait,
        /// How many of the step's hosts at the same time: a number, or a percentage of the group.
        at_once: Size,
        /// How many hosts of each group must stay in service.
        keep_up: Size,
        /// How many hosts may fail, unreachable ones included.
        allow_failed: Size,
        /// In which order the hosts are taken.
        order: Choice<super::model::Order>,
        /// `first`: the first host goes alone, and the others follow when it is done.
        canary: Choice<Canary>,
        /// Units of the plan's resources held while the step runs.
        uses: Table<Whole<1, 10000>>,
        /// Takes a host out of service before the verb.
        drain: Drainage,
        /// Reboots the host after the verb; how long to wait for it at most.
        reboot: Length,
        /// A command that proves that the work is done.
        verify: String,
        /// Puts the host back into service.
        undrain: Drainage,
        /// How long it takes: expected, or expected-worst, such as 20m-30m.
        estimate: Range,
        /// The most it may take; enforced on the host. Twice the worst estimate where nothing is written.
        timeout: Length,
        /// What is suspiciously quick or slow.
        expect: RawExpect,
        /// Further tries: a number, or {times, wait, backoff}.
        retry: RetryText,
        /// A second execution does no harm.
        idempotent: bool,
        /// Names that the command writes as name=value lines to the file $RUNBOOK_OUTPUT.
        outputs: Many<String>,
        /// How to undo it: a command, or {run or script, hosts, estimate, timeout, verify, retry}.
        rollback: UndoText,
        /// It changes nothing, so there is nothing to undo.
        read_only: bool,
        /// It cannot be undone, and why.
        irreversible: String,
        /// A person undoes it, and how.
        manual_rollback: String,
        /// A failed attempt leaves nothing behind.
        atomic: bool,
        /// What a failure means, where it is not what the verb says.
        on_failure: Choice<super::model::OnFailure>,
        /// What a rollback does with the step while it runs.
        on_stop: Choice<super::model::OnStop>,
        /// How long a test must stay true.
        hold: Length,
        /// Who may answer the gate: names of `people`.
        who: Many<String>,
        /// What to look at before answering.
        checklist: Many<String>,
        /// How long before the gate its people are called.
        call_ahead: Length,
        /// A clock time before which the gate must be answered.
        answer_by: String,
        /// The author of the plan may not answer alone.
        not_author: bool,
        /// How many different people must approve.
        quorum: Whole<1, 100>,
        /// The plan's `ask_below`, from the approval of this gate on.
        ask_below: Size,
        /// Environment of the step's commands.
        env: Table<String>,
        /// Execute as this user.
        user: String,
        /// Execute as root, by sudo.
        sudo: bool,
        /// Program that reads the commands, such as bash -eu. sh -eu where nothing is written.
        shell: String,
        /// Working directory on the host.
        dir: String,
        /// The sentence for the timeline.
        say: String,
        /// A risk, shown in the dry run.
        warn: String,
        /// Where the time begins, or ends, in which the service is down.
        downtime: Choice<super::model::Downtime>,
        /// A `test` or `http` that is asked before the night, too: one that fails then already does not call for a rollback.
        baseline: bool,
        /// Exit codes with which a `test` says that it could not judge, such as 3. Beside 126, 127 and those of signals.
        inconclusive: Many<Whole<1, 255>>,
        /// What flows in once it has run, such as `writes`: rollbacks that say `until: writes` have expired then.
        opens: String,
        /// Words to choose steps by.
        tags: Many<String>,
    }
}

record! {
    /// A file or directory for the hosts.
    RawCopy as "src:", required ["src", "dest"] {
        /// Beside the plan.
        src: String,
        /// Absolute path on the host.
        dest: String,
        /// Such as 0644.
        mode: Mode,
        /// user, or user:group.
        owner: String,
    }
}

record! {
    /// A file for the hosts, rendered by minijinja.
    RawTemplate as "src:", required ["src", "dest"] {
        /// In templates/.
        src: String,
        /// Absolute path on the host.
        dest: String,
        /// Such as 0644.
        mode: Mode,
        /// user, or user:group.
        owner: String,
        /// Variables for this template only.
        vars: Table<Setting>,
    }
}

record! {
    /// Waiting: exactly one of `for`, `at` and `until`.
    RawWait as "for: 10m", required [] {
        /// So long.
        r#for: Length,
        /// Until this clock time.
        at: String,
        /// Until this command exits 0.
        until: String,
        /// How often the command is repeated. 10s where nothing is written.
        every: Length,
    }
}

record! {
    /// What is suspiciously quick or slow.
    RawExpect as "min: 5m", required [] {
        /// Quicker is suspicious.
        min: Length,
        /// Slower is suspicious.
        max: Length,
        /// `hold`: when it was too quick, stop before anything depends on it.
        on_quick: Choice<OnQuick>,
    }
}

record! {
    /// How the work of a step is undone.
    RawRollback as "run:", required [] {
        /// A shell command line.
        run: String,
        /// A file beside the plan, copied to the host and executed.
        script: String,
        /// Where, if not on the hosts of the step.
        hosts: Many<String>,
        /// How long it takes: expected, or expected-worst.
        estimate: Range,
        /// The most it may take.
        timeout: Length,
        /// Reboots the host afterwards; how long to wait for it at most.
        reboot: Length,
        /// A command that proves that the old state is back.
        verify: String,
        /// It has expired once a step `opens` this: undoing then would lose what has flowed in.
        until: String,
        /// Further tries: a number, or {times, wait, backoff}. 2 where nothing is written.
        retry: RetryText,
    }
}

record! {
    /// Further tries after the first.
    RawRetry as "times: 2", required [] {
        /// How many, 0 to 20.
        times: Whole<0, 20>,
        /// Time between two tries.
        wait: Length,
        /// fixed, or exponential: the wait doubles each time.
        backoff: Choice<super::model::Backoff>,
    }
}

record! {
    /// Taking a host out of service, or putting it back.
    RawDrain as "run:", required ["run"] {
        /// The command.
        run: String,
        /// Where it runs; on the host itself where nothing is written.
        hosts: Many<String>,
        /// Until this command exits 0 on the host itself.
        until: String,
        /// The most it may take.
        timeout: Length,
    }
}

record! {
    /// A request from the controller.
    RawHttp as "url:", required ["url"] {
        /// Such as `https://example.org/health`.
        url: String,
        /// GET where nothing is written.
        method: String,
        /// Accepted status codes; 200 to 299 where nothing is written.
        expect: Many<Whole<100, 599>>,
        /// A text that the body must contain.
        body_contains: String,
        /// A regular expression that the body must match.
        body_matches: String,
        /// Further request headers.
        headers: Table<String>,
        /// The body of the request.
        body: String,
    }
}

record! {
    /// How to reach a host, where the ssh configuration does not say it.
    RawHost as "address:", required [] {
        /// Name or IP address.
        address: String,
        /// 1 to 65535.
        port: Whole<1, 65535>,
        /// User to log in as.
        user: String,
        /// Jump host.
        via: String,
        /// Variables of this host; they go before those of its groups and of the plan.
        vars: Table<Setting>,
        /// Who is responsible for it.
        owner: String,
        /// When it may be worked on: {days, between, timezone, notice}.
        maintenance: Anything,
    }
}

record! {
    /// A group with more than its hosts.
    RawGroup as "hosts:", required [] {
        /// Its hosts.
        hosts: Many<String>,
        /// Groups that belong to it.
        children: Many<String>,
        /// Variables of all its hosts.
        vars: Table<Setting>,
        /// Who is responsible for its hosts.
        owner: String,
        /// When they may be worked on: {days, between, timezone, notice}.
        maintenance: Anything,
    }
}

record! {
    /// A person.
    RawPerson as "name:", required [] {
        /// As shown.
        name: String,
        /// Telephone number.
        phone: String,
        /// Mail address.
        mail: String,
    }
}

record! {
    /// A part of the inventory with a window of its own.
    RawWave as "name:", required ["name", "opens", "closes", "hosts"] {
        /// Such as wed-few.
        name: String,
        /// Clock time at which work may start.
        opens: String,
        /// Clock time at which it must be done.
        closes: String,
        /// Which of the two hours is meant when clocks go back: first or second.
        fold: Choice<Fold>,
        /// Asked before the wave starts.
        gate: String,
        /// Who may answer the gate.
        who: Many<String>,
        /// What to look at before answering.
        checklist: Many<String>,
        /// How long before the gate its people are called.
        call_ahead: Length,
        /// The author of the plan may not answer alone.
        not_author: bool,
        /// How many different people must approve.
        quorum: Whole<1, 100>,
        /// Share of each group: a number, a percentage of the whole group, `rest`, or `all`.
        hosts: Table<Share>,
    }
}

record! {
    /// A plan that comes before this one.
    RawAfter as "plan:", required ["plan"] {
        /// Its name: that of its file, without the extension.
        plan: String,
        /// The digest that its run must have had, or the beginning of it.
        digest: String,
    }
}

record! {
    /// Where groups of hosts come from: exactly one of the two.
    RawInventory as "run:", required [] {
        /// A file beside the plan.
        file: String,
        /// A command that prints them, executed in the plan's folder whenever the plan is read.
        run: String,
        /// The most that the command may take. 30s where nothing is written.
        timeout: Length,
    }
}

record! {
    /// A channel that is told what happens: exactly one of the three.
    RawNotify as "webhook:", required [] {
        /// Gets each event as JSON, by POST.
        webhook: String,
        /// Gets each event as JSON, on stdin.
        command: String,
        /// Mail addresses.
        mail: Many<String>,
        /// A file of templates/ that says it in words of one's own, rendered by minijinja.
        template: String,
    }
}

record! {
    /// Where a secret comes from: exactly one of the three.
    RawSecret as "env:", required [] {
        /// Name of an environment variable.
        env: String,
        /// A file.
        file: String,
        /// A command that prints it.
        command: String,
    }
}

/// Which of two equal clock times is meant when clocks go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    First,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covers;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnQuick;

/// Which host goes alone: `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary;
