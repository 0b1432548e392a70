//! The plan as its author meant it: names resolved, values in range. Knows nothing of YAML, time of day or hosts' state.
//!
//! A [`Plan`] is valid by construction: only `plan::validate` makes one. It is what a run freezes into its journal,
//! so every type here is serialized; add fields with `#[serde(default)]` and raise [`FORMAT`] when meaning changes.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::units::{Estimate, Size};

mod questions;

/// Version of the frozen plan's format (`runbook: 1` in the file).
pub const FORMAT: u32 = 1;

/// The name of a step: `[A-Za-z0-9._-]`, 1 to 64 characters.
pub type StepId = String;
/// The name of a host: `[A-Za-z0-9._:-]`, not starting with `-`.
pub type HostName = String;

/// One night's work, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The file's name without its extension: what people type to arm a run.
    pub stem: String,
    pub name: String,
    /// IANA zone in which clock times are written and shown.
    pub timezone: Option<String>,
    pub window: Option<Window>,
    /// Every host any step may touch, in the order of the file.
    pub hosts: IndexMap<HostName, Host>,
    pub groups: IndexMap<String, Vec<HostName>>,
    pub inventory: Option<Inventory>,
    pub vars: IndexMap<String, Value>,
    pub people: IndexMap<String, Person>,
    /// Capacity of each named resource, >= 1.
    pub resources: IndexMap<String, u32>,
    pub notify: Vec<NoticeChannel>,
    /// Plans whose last run must have ended well before this one may be executed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// Proves that the old version is back: a step with verb `test` or `http`, named `after_rollback`.
    pub after_rollback: Option<Step>,
    pub waves: Vec<Wave>,
    /// `covers: all`: every host of the inventory is in exactly one wave.
    pub covers_all: bool,
    /// Plan-wide bound on actions running at the same time.
    pub at_once: Option<Size>,
    /// Percent, 1 to 99: whoever is there is asked when the run is less likely than this to end in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_below: Option<u8>,
    /// In the order of the file. `needs` are always explicit here, also where the file is a plain list.
    pub steps: IndexMap<StepId, Step>,
    /// Every file that a step names, by the path written in the plan. Filled by the loader, part of the digest.
    pub files: BTreeMap<String, FileFacts>,
}

/// What the loader saw of a file beside the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    pub kind: FileKind,
    /// Bytes; of a directory, the sum over its files.
    pub size: u64,
    /// Lower-case hex SHA-256 of the content; of a directory, of its sorted listing with modes and checksums.
    pub sha256: String,
    /// Number of lines, for the dry run.
    pub lines: u64,
    pub executable: bool,
    /// The content of a `template` source (UTF-8), frozen here so that rendering needs no disk. `None` for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    File,
    Directory,
}

/// The agreed time. Instants are resolved once, from clock times in the plan's zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub opening: Opening,
    /// Kept free after a rollback.
    pub reserve: SignedDuration,
    /// The most by which the window may be extended during the night.
    pub max_extension: Option<SignedDuration>,
    pub on_deadline: OnDeadline,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    At {
        opens: Timestamp,
        closes: Timestamp,
    },
    /// Opens when `exec` is started.
    WhenStarted {
        lasts: SignedDuration,
    },
}

/// What happens when *roll back by* passes with the run unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeadline {
    #[default]
    Rollback,
    /// Opens a hold ten minutes earlier; without an answer, rolls back.
    Ask,
    Warn,
}

/// A machine. `address` and the rest override what the ssh configuration says of the name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Host {
    pub address: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    /// Jump host.
    pub via: Option<String>,
    /// Host variables, from an inventory.
    #[serde(default)]
    pub vars: IndexMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inventory {
    File(String),
    Command(String),
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Text(String),
    Bool(bool),
    Int(i64),
    List(Vec<Value>),
    /// From inventories only.
    Map(IndexMap<String, Value>),
    Secret(SecretRef),
}

/// Where a secret comes from. Resolved at launch, handed over by stdin, masked everywhere; the value is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    Env(String),
    File(String),
    Command(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    pub phone: Option<String>,
    pub mail: Option<String>,
}

/// A channel that is told what happens, and in whose words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeChannel {
    #[serde(flatten)]
    pub by: Notify,
    /// A file of `templates/` instead of the texts that there are; its own text is among [`Plan::files`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// The way to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    Webhook { url: String },
    Command(String),
    Mail { to: Vec<String> },
}

/// A plan that comes before another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// Its [`Plan::stem`].
    pub plan: String,
    /// The beginning of the digest that its run must have had, in lower-case hex.
    pub digest: Option<String>,
}

/// One entry under `steps:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    /// 1-based line of its name in the plan.
    pub line: u32,
    pub needs: Vec<Need>,
    pub place: Place,
    /// A minijinja expression; a step for which it is false is skipped, which counts as done.
    pub when: Option<String>,
    pub verb: Verb,
    /// The person's half: alone (`verb` is [`Verb::Gate`]) or after a `test` or `http`.
    pub gate: Option<Gate>,
    pub undo: Undo,
    /// `None` where the plan gives none (only without a window).
    pub estimate: Option<Estimate>,
    /// Enforced on the host. Defaults to twice the worst estimate.
    pub timeout: Option<SignedDuration>,
    pub expect: Option<Expect>,
    pub retry: Retry,
    /// Whether a second execution of an attempt that may have run is harmless.
    pub idempotent: bool,
    /// A failed attempt left nothing behind, so it needs no rollback.
    pub atomic: bool,
    /// A command that proves that the work is done.
    pub verify: Option<String>,
    /// Names that the command writes as `name=value` lines to `$RUNBOOK_OUTPUT`.
    pub outputs: Vec<String>,
    pub on_failure: OnFailure,
    pub on_stop: OnStop,
    /// Units of each plan-level resource held while the step runs.
    pub uses: IndexMap<String, u32>,
    /// Soak: a `test` must stay true for this long.
    pub hold: Option<SignedDuration>,
    pub shell: Shell,
    pub fleet: Fleet,
    /// The sentence for the timeline, a minijinja template.
    pub say: Option<String>,
    /// A risk shown in the dry run.
    pub warn: Option<String>,
    /// Where the time begins, or ends, in which the service is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
    /// It judges, and is asked before the night, too: where it fails then already, its failure calls for no rollback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub baseline: bool,
    /// Exit codes with which a `test` says that it could not judge; see [`Step::leaves_open`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inconclusive: Vec<u8>,
    /// What flows in once it has run, such as new data: rollbacks that name it (`until`) have expired then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<String>,
    pub tags: Vec<String>,
}

/// How the commands of a step are executed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shell {
    /// Program and options that read the script, such as `bash -eu`. `None` means `sh -eu`.
    pub program: Option<String>,
    pub env: IndexMap<String, String>,
    /// Execute as this user (by `sudo -u`).
    pub user: Option<String>,
    pub sudo: bool,
    /// Working directory; the login directory where there is none.
    pub dir: Option<String>,
}

/// Keys that matter for many hosts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Fleet {
    pub at_once: Option<Size>,
    pub keep_up: Option<Size>,
    /// Tolerated failed hosts: at most, cumulative, unreachable included.
    pub allow_failed: Option<Size>,
    pub order: Order,
    pub canary: bool,
    pub drain: Option<Drain>,
    /// Wait at most this long for a new boot id.
    pub reboot: Option<SignedDuration>,
    pub undrain: Option<Drain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Inventory,
    Reverse,
    Sorted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drain {
    pub run: String,
    /// Where `run` executes; the host itself where there is none.
    pub hosts: Option<Place>,
    /// Always executes on the host itself.
    pub until: Option<String>,
    pub timeout: Option<SignedDuration>,
}

/// A dependency on a step: on all its hosts, or on the same host only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    pub step: StepId,
    pub same_host: bool,
}

/// Where a step's actions run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// No process at all: a gate, or a wait for a time. One action.
    Nowhere,
    /// The machine that executes the plan (`local`, and every `http`). One action.
    Controller,
    /// One action on each; never empty.
    Hosts(Vec<HostName>),
    /// The hosts of the open wave.
    Wave,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// A shell command line, with `{{ }}` in it.
    Run(String),
    /// A file beside the plan, copied and executed.
    Script(String),
    Copy(CopyFile),
    /// The same, rendered first.
    Template {
        file: CopyFile,
        vars: IndexMap<String, Value>,
    },
    /// Judges: must exit 0; reads only.
    Test(String),
    /// Judges by a request from the controller.
    Http(HttpCheck),
    /// Only the person's half: see [`Step::gate`].
    Gate,
    Wait(Wait),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFile {
    /// Beside the plan (`copy`) or in `templates/` (`template`).
    pub src: String,
    /// Absolute path on the host, without `..`.
    pub dest: String,
    /// Such as `0644`.
    pub mode: Option<u32>,
    /// `user` or `user:group`.
    pub owner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    pub url: String,
    pub method: String,
    /// Accepted status codes; 200 to 299 where the plan names none.
    pub expect: Vec<u16>,
    /// A text that the body must contain.
    pub body_contains: Option<String>,
    /// A regular expression that the body must match.
    pub body_matches: Option<String>,
    pub headers: IndexMap<String, String>,
    pub body: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    For(SignedDuration),
    At(Timestamp),
    /// Repeats the command on the step's hosts until it exits 0.
    Until {
        command: String,
        every: SignedDuration,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    pub question: String,
    /// Keys of `people`.
    pub who: Vec<String>,
    pub checklist: Vec<String>,
    pub call_ahead: Option<SignedDuration>,
    /// An earlier limit than *roll back by*.
    pub answer_by: Option<Timestamp>,
    pub not_author: bool,
    /// How many different people must approve, >= 1.
    pub quorum: u32,
    /// Instead of the plan's, once this gate is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_below: Option<u8>,
}

/// What undoing a step means: exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Nothing to undo: it judges, asks or waits.
    Nothing,
    /// `read_only: true`: it changes nothing.
    ReadOnly,
    /// `copy` and `template` put the previous content back by themselves.
    BuiltIn(Rollback),
    Command(Rollback),
    /// A person does it and says so.
    Manual(String),
    Irreversible(String),
}

/// The undo of one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollback {
    pub work: RollbackWork,
    /// Where it runs; the place of the step where there is none.
    pub place: Option<Place>,
    pub estimate: Estimate,
    pub timeout: Option<SignedDuration>,
    /// Reboot the host afterwards, and wait at most this long for a new boot id.
    #[serde(default)]
    pub reboot: Option<SignedDuration>,
    pub verify: Option<String>,
    pub retry: Retry,
    /// It may be executed only until a step has opened this: later it would lose what has flowed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackWork {
    Run(String),
    Script(String),
    /// The previous content of a copied file comes back.
    Restore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    Rollback,
    Ask,
    Continue,
}

/// What a rollback does with the step while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStop {
    /// Let it end, but only until *roll back by*; then kill it.
    #[default]
    Finish,
    Kill,
    /// Never kill it: its timeout, not its estimate, is what admission counts.
    Protect,
}

/// What a step means for the time in which the service is down. It lasts from the start of the first step that begins it
/// to the end of the last one that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downtime {
    /// Takes the service away.
    Begin,
    /// Gives it back.
    End,
}

/// Further tries after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Retry {
    /// 0 to 20.
    pub times: u32,
    pub wait: SignedDuration,
    pub backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    #[default]
    Fixed,
    /// Doubles the wait each time.
    Exponential,
}

/// Suspiciously quick or slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Expect {
    pub min: Option<SignedDuration>,
    pub max: Option<SignedDuration>,
    /// `on_quick: hold`: stop before dependants start.
    pub hold_when_quick: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    pub name: String,
    pub opens: Timestamp,
    pub closes: Timestamp,
    pub gate: Option<Gate>,
    /// Share of each group, in the order of the file.
    pub shares: IndexMap<String, Share>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    Size(Size),
    /// Everything that no earlier wave took.
    Rest,
    All,
}
