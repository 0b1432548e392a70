//! Every code of a finding: its number, one line, and the text that `runbook explain CODE` prints. Numbers are never reused.

/// What a code means.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
    /// For people; lines of at most 120 characters.
    pub text: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)+) => {
        $(#[doc = $title] pub const $name: &str = $code;)+

        /// In the order of their numbers: errors, then warnings.
        pub const ALL: &[Code] = &[$(Code { code: $code, title: $title, text: $text },)+];
    };
}

codes! {
    NOT_TEXT = "E001", "the file is not UTF-8 text",
    "A plan is UTF-8 text. The message names the offset and line of the first byte that is not. Files saved as Latin-1 or\n\
     UTF-16 are the usual reason: save it again as UTF-8. A byte order mark and Windows line ends are fine.";
    SYNTAX = "E002", "the file is not YAML",
    "The reader could not go on here. Usual reasons: a tab as indentation (use spaces), a line indented by one column too few\n\
     or too many, a text with `: ` in it without quotes, a value that begins with `{{`, `[` or `*` without quotes.\n\
     \n\
     \x20   say: Note: the client calls     wrong: a second `: ` in one line\n\
     \x20   say: \"Note: the client calls\"   right";
    SECOND_DOCUMENT = "E003", "a second document in the file",
    "`---` on a line of its own starts a second YAML document. A file holds one plan, so that its name is the name of the night.";
    DUPLICATE_KEY = "E004", "a key is given twice",
    "Most readers would silently take the last one. Both places are shown; keep one.";
    UNKNOWN_KEY = "E005", "an unknown key",
    "The plan language has no such key here: a typing mistake, or a word of another tool. `runbook check --fix` corrects it\n\
     where the meaning is certain. `runbook schema plan` lists every key, with descriptions, for your editor.";
    TAG = "E006", "a YAML tag",
    "`!include`, `!!python/object` and other tags make some readers construct things. Here a plan is text, lists and mappings only.";
    TOO_MUCH = "E007", "too deep, or too many repeated values",
    "A plan may be nested 64 levels deep, and its aliases and merge keys may repeat 100,000 values in all. Beyond that a file\n\
     is an accident or an attack.";
    EMPTY_PLAN = "E008", "nothing to do",
    "The file holds no plan, or a plan without steps. `runbook new NAME.yaml` writes an example to start from.";
    MISSING = "E009", "a required key is missing",
    "The message names the key and shows how it is written.";
    WRONG_TYPE = "E010", "a value of the wrong kind",
    "Such as a list where one text belongs, or `yes` where `true` belongs. The message says what is expected.";
    STEP_NAME = "E011", "a name that no step can have",
    "Names of steps appear in commands, files and on the bridge: letters, digits, `.`, `_` and `-`, beginning with a letter, a\n\
     digit or `_`, at most 64 characters.";
    UNKNOWN_STEP = "E012", "`needs` names no step",
    "Every name under `needs` must be a step of the same plan.";
    CYCLE = "E013", "steps wait for each other",
    "A waits for B, B for C, and C for A: none of them could ever start. The message goes round the circle, with lines.";
    MIXED_NEEDS = "E014", "some steps say what they need, others do not",
    "All or nothing: a plan without any `needs` runs from top to bottom. As soon as one step has `needs`, every step must have\n\
     it (`needs: []` for what waits for nothing). A mixed rule would let one inserted step silently change what the next one\n\
     waits for.";
    DURATION = "E015", "a duration that cannot be read",
    "Every number needs its unit: `90s`, `5m`, `1h30m`, `250ms`. `timeout: 30` could be seconds or minutes. Days and weeks are\n\
     not accepted, because a day with a clock change has 23 or 25 hours: write `48h`.";
    RANGE = "E016", "a value out of range",
    "The message names the allowed range.";
    EMPTY = "E017", "an empty text",
    "A command, a question or a reason without words.";
    VERB = "E018", "not exactly one thing to do",
    "A step has one verb: `run`, `script`, `copy`, `template`, `test`, `http`, `gate` or `wait`. Only `test` or `http` may stand\n\
     together with `gate`: the machine half first, then the person.";
    MISPLACED = "E019", "a key that does not fit here",
    "The key exists, but means nothing for this kind of step.";
    FORMAT = "E020", "the format version is missing",
    "The first line of a plan is `runbook: 1`, so that a later version of the language can be told from this one.";
    NO_UNDO = "E021", "a step that does not say how to undo it",
    "`run` and `script` change something, so the plan must say what happens when the night is rolled back. Exactly one of\n\
     \n\
     \x20   rollback: {run: install-frontend \"$PREVIOUS\", estimate: 10m}\n\
     \x20   read_only: true                        # it changes nothing\n\
     \x20   irreversible: a mail cannot be unsent  # needs a gate before it\n\
     \x20   manual_rollback: Ask the provider to point the line back\n\
     \n\
     The rollback plan is derived from these: in reverse order, in parallel where allowed, only what may have run. A rollback\n\
     must cope with nothing, half or all of the work having been done; `$RUNBOOK_OUTCOME` tells it.";
    UNDO_TWICE = "E022", "two ways to undo one step",
    "`rollback`, `read_only`, `irreversible` and `manual_rollback` exclude each other.";
    ESTIMATE = "E023", "a step without an estimate",
    "With a window, every step needs `estimate: 20m` or `estimate: 20m-30m` (expected - worst): the last moment to roll back is\n\
     computed from them.";
    NO_GATE = "E024", "no way back, and nobody is asked",
    "A step with `irreversible` ends the part of the night that can be rolled back. Somebody must have approved that: a `gate`\n\
     must stand before it, directly or through other steps.";
    RETRY = "E025", "a retry that could do something twice",
    "A failed command may have done half or all of its work. `retry` is allowed on what only reads, and where\n\
     `idempotent: true` says that a second execution does no harm.";
    WHO = "E026", "a gate that nobody could answer",
    "`who` names the people who may answer. An empty list, or a quorum larger than the list, could never be satisfied. A gate\n\
     without an answer never approves itself: at *roll back by* the plan rolls back.";
    PERSON = "E027", "an unknown person",
    "`who` names keys of `people`.";
    UNKNOWN_HOST = "E030", "an unknown host or group",
    "`hosts` of a step names groups or hosts that the plan (or its inventory) knows, or `local`, `all`, `wave`.";
    SAME_MACHINE = "E031", "one machine under two names",
    "It would be locked, drained and restarted twice. Keep one name and put it into both groups.";
    HOST_NAME = "E032", "a name that no host, group or user can have",
    "These names reach the command line of ssh, so only letters, digits, `.`, `_`, `:` and `-` are allowed, and no `-` first.";
    NO_HOSTS = "E033", "a step that does not say where it runs",
    "`hosts` is a group, a host, a list of them, `all`, `wave`, or `local` for the machine that executes the plan.";
    RESOURCE = "E034", "an unknown or too small resource",
    "`uses` takes units of the plan's `resources`, at most as many as there are.";
    SAME_HOST = "E035", "`same_host` between steps without a common host",
    "`{step: a, same_host: true}` waits for step a on the same host only; the two steps must share hosts.";
    INVENTORY = "E036", "the inventory cannot be used",
    "An inventory is a file beside the plan, or what a command prints (`inventory: {run: COMMAND}`). Its form is found by\n\
     looking at it:\n\
     \n\
     \x20   web: [web1, web2]                      groups and their hosts, as in a plan's `hosts:`\n\
     \x20   [web]                                  Ansible's INI: a header, then hosts, one a line\n\
     \x20   web: {hosts: {web1: {http_port: 80}}}  Ansible's YAML\n\
     \x20   {\"web\": {\"hosts\": [\"web1\"]}}         what `ansible-inventory --list` prints";
    GROUP_CYCLE = "E037", "groups that contain each other",
    "A group cannot belong to itself, also not by way of other groups. The message goes round the circle, with its places.";
    CONNECTION = "E038", "a connection variable that cannot be honoured",
    "Of Ansible's variables, `ansible_host`, `ansible_port`, `ansible_user` and a jump host in `ansible_ssh_common_args` say how\n\
     to reach a host here as well. Others would have to be left out, and then another machine, or none, would be reached: keys,\n\
     proxies and options belong into ~/.ssh/config; passwords are not used.";
    WAVE = "E040", "waves that contradict each other or the plan",
    "Each wave has its own window, and a name of its own.";
    COVERAGE = "E041", "a host in no wave, or in two",
    "`covers: all` promises that every host of the inventory is in exactly one wave. Shares are taken in the order of the waves:\n\
     a number, a percentage of the whole group, `rest` for what no earlier wave took.";
    MAINTENANCE = "E042", "acceptable times that cannot be read",
    "A host or group may carry the times at which its owner accepts that it is worked on:\n\
     \n\
     \x20   owner: hu\n\
     \x20   maintenance: {days: [mon-thu], between: \"20:00-04:00\", timezone: Europe/Berlin, notice: 72h}\n\
     \n\
     `days` are those on which the hours begin; without `days` it is every day, without `between` the whole day, without\n\
     `timezone` the plan's zone. `runbook plan` holds each wave against them.";
    AFTER = "E043", "a plan that cannot come before this one",
    "`after: NAME` refuses this plan until the last run of another one has ended well, in the same store. The name of a plan is\n\
     that of its file without the extension, as in `runbook runs`. `after: {plan: NAME, digest: 7c1f-9a3e}` also asks for the\n\
     digest that the run had.";
    HORIZON = "E044", "a rollback horizon that makes no sense",
    "From the moment a step with `opens: writes` has begun, new data flows in, and a rollback with `until: writes` would lose it:\n\
     it has expired. So some step must open what a rollback names, that step must come after the one whose rollback expires,\n\
     and it must change something itself. What is opened has a name of letters, digits, `.`, `_` and `-`.";
    WINDOW = "E050", "an incomplete window",
    "`window: {opens, closes}` with clock times, or `window: {lasts: 8h}`, which opens when the plan is started.";
    WINDOW_ORDER = "E051", "a window without length",
    "It closes before, or when, it opens.";
    TIMEZONE = "E052", "no usable time zone",
    "Clock times need a `timezone` of the IANA database, such as Europe/Berlin. Offsets and abbreviations do not know when clocks\n\
     change, so a night could be an hour off.";
    CLOCK_GAP = "E053", "a time that does not exist",
    "When clocks go forward, an hour of the night is left out. The message names the nearest times that exist.";
    CLOCK_FOLD = "E054", "a time that happens twice",
    "When clocks go back, an hour of the night happens twice. Say which one is meant: `fold: first` or `fold: second`.";
    CLOCK = "E055", "not a date and time",
    "Clock times are written \"2026-11-28 01:30\", in quotes so that no YAML reader takes them for numbers.";
    RESERVE = "E056", "the reserve leaves no time",
    "`reserve` is kept free after a rollback. It must be shorter than the window.";
    DOES_NOT_FIT = "E057", "the plan does not fit its window",
    "Even with the expected estimates, the longest path of steps ends after the window minus its reserve. The message shows it.";
    UNDEFINED = "E060", "an unknown variable",
    "Names in `{{ }}` and in `when` must be variables of the plan, given with `--var`, or outputs of earlier steps.";
    VARIABLE_CYCLE = "E061", "variables that refer to each other",
    "One of them needs a value of its own.";
    TEMPLATE = "E062", "a template that cannot be read",
    "`{{ NAME }}` inserts a variable; in commands its value is quoted for the shell. `when` takes an expression without braces.";
    OUTPUT = "E063", "an output that does not exist there",
    "An output exists after its step: in steps that wait for it, and in that step's own rollback. A test with `baseline` is\n\
     asked before the night, too, when there are none yet.";
    VALUE = "E064", "a value that could be two things",
    "The number 1.10 is 1.1, the text \"1.10\" is not; 0777 may be 777 or 511. Quote what is text.";
    VARIABLE = "E065", "a variable that cannot be",
    "Names of variables are names in the environment of commands: letters, digits and `_`. Names that the shell or runbook\n\
     uses itself are taken.";
    SECRET_USE = "E066", "a secret inside another value",
    "A secret is handed to commands at launch and never becomes part of the plan, so other variables cannot contain it.";
    FILE = "E070", "a file that is missing or unusable",
    "`script` and `copy.src` are looked for beside the plan; `template.src` in `templates/` beside the plan, then in the folder\n\
     above it.";
    NOT_REGULAR = "E071", "not a regular file",
    "Devices, pipes and sockets have no content that could be reviewed.";
    DESTINATION = "E072", "a destination that is not an absolute path",
    "`dest` is a path on the host, without `..`.";
    URL = "E073", "not a usable web request",
    "An address begins with http:// or https://.";
    YES_NO = "W101", "`yes`, `no`, `on` or `off` without quotes",
    "Here it is a text. Readers of YAML 1.1 take it for a truth value. Write it in quotes, or `true` / `false`.";
    SHORT_TIMEOUT = "W102", "a timeout shorter than the estimate",
    "The step would be ended although it is within its worst estimate.";
    TWICE_NEEDED = "W103", "a step is needed twice",
    "Once is enough.";
    LATE_ANSWER = "W104", "in the worst case a step ends after the last moment to roll back",
    "By the expected estimates the plan fits its window, by the worst ones it does not: at *roll back by* (the close of the\n\
     window minus its reserve minus a full rollback) the step may still be running, and then the plan rolls back. Agree on\n\
     an answer before that moment, or ask for a longer window now.";
    ROLLBACK_ESTIMATE = "W105", "a rollback without an estimate",
    "The estimate of the step is taken instead. The last moment to roll back depends on it.";
    DRAIN = "W106", "`drain` without `undrain`",
    "The hosts would stay out of service.";
    WAVE_EMPTY = "W107", "a wave that gets nothing of a group",
    "Earlier waves took all of it.";
    SECRET = "W108", "a secret in plain text",
    "Use `{secret: {env: NAME}}`, `{file: PATH}` or `{command: COMMAND}`: it is resolved at launch, handed over by stdin, and\n\
     masked in every output.";
    HIDDEN = "W109", "a hidden character",
    "Zero-width and direction-changing characters show a reviewer something else than what runs.";
    NEAR_VARIABLE = "W110", "nearly the name of a variable",
    "`$NAME` in a command is read by the shell on the host, so it cannot be known to be wrong; but a variable with nearly that\n\
     name exists.";
    UNLIKE_HISTORY = "W112", "an estimate that earlier runs do not bear out",
    "In the last five runs of this plan the step took a fifth longer than expected, or less than half as long, by the middle one\n\
     of them. `runbook history PLAN` shows what is known; the forecast goes by it already, *roll back by* and `check` by the\n\
     estimate alone.";
    CONNECTION_IGNORED = "W113", "a variable of Ansible that has no effect",
    "The inventory says how Ansible becomes another user, or which shell it uses. Here a step says that itself: `sudo`, `user`,\n\
     `shell`. A host with `ansible_connection=local` is the machine that executes the plan, which is called `local`.";
    NOBODYS_VARIABLES = "W114", "variables of a group or host that there is not",
    "A file in `group_vars/` or `host_vars/` carries the name of a group or host. Nearly the name of one is a typing mistake.";
    NOT_ACCEPTED = "W115", "a wave at a time that is not accepted for a host",
    "The owner of these hosts accepts work at other times (`maintenance`). The wave leaves no time for them: none of their hours\n\
     that fall into its window are long enough for their worst estimate. The message names the next hours that are, and the\n\
     waves in which these hosts would fit. It is a warning, because people can agree otherwise: `check --deny warnings` is strict.";
    PERHAPS_NOT_ACCEPTED = "W116", "a wave that may reach a host at a time that is not accepted",
    "The hosts' hours cover a part of the wave only. Which host is taken when depends on `at_once`, on failures, and on how long\n\
     each takes; in the worst case these would be worked on outside of their hours. Open a wave of their own, or move them.";
    SHORT_NOTICE = "W117", "an owner is told too late",
    "The wave opens sooner than the notice that the owner asked for (`maintenance: {notice: 72h}`).";
    LEARNT = "W118", "a step without an estimate of its own, which earlier runs know",
    "The estimate is what the step mostly took in earlier runs (the median), and what 95 of 100 runs stay below. *Roll back by*,\n\
     admission and the forecast go by it, as if it were written down; it sets no `timeout`. It moves with every run, so write\n\
     it into the plan when it is to be what was reviewed: the digest is that of the plan as it is written.";
    OPENS_NOTHING = "W119", "a step opens what no rollback minds",
    "`opens: writes` only matters to rollbacks with `until: writes`, and there is none: everything can be rolled back after it as\n\
     before it.";
    TOO_EARLY = "W150", "no way back before everything is judged",
    "From an `irreversible` step on the plan only goes forward. A test or a gate that comes later, or beside it, may still\n\
     fail, and then nothing can be rolled back any more. Let the step need everything that judges.";
    NOT_LAST = "W151", "no way back before the work is done",
    "Once an `irreversible` step has started, nothing is rolled back automatically, also not the steps that come after it or\n\
     run beside it. Do what cannot be undone last.";
    NO_JUDGE = "W152", "nothing judges whether the night succeeded",
    "A rollback starts when a `test` or `http` fails or a `gate` is rejected. This plan changes something and has none of them,\n\
     nor a `verify`: only commands that fail by themselves would be noticed.";
    UNJUDGED = "W153", "nothing judges a step",
    "Other steps are followed by a test or a gate, this one is not, and it has no `verify`. Add one, or let a test need it.";
    SAME_TIME = "W154", "two steps may change a host at the same time",
    "Neither waits for the other, directly or through other steps. When they must not meet, write `needs`, or a resource\n\
     that both use:\n\
     \n\
     \x20   resources: {db: 1}\n\
     \x20   steps:\n\
     \x20     one: {uses: {db: 1}, ...}\n\
     \x20     two: {uses: {db: 1}, ...}";
    INSTANT_UNDO = "W155", "a rollback that takes no time",
    "*Roll back by* is computed from the estimates of the rollbacks. One of `0s` would let the plan decide too late.";
    DANGER = "W156", "a command worth a second look",
    "Such as `rm -rf` with a variable in it, `mkfs`, `dd of=`, `DROP TABLE`. It may be right; somebody should say so at the\n\
     go/no-go call.";
    ALL_AT_ONCE = "W157", "many hosts are changed at once",
    "A mistake would reach all of them before anybody sees it. `at_once: 10%` takes them in portions.";
    SPLICE = "W158", "a value is spliced into a command without quoting",
    "`{{ NAME }}` is quoted for the shell. `{{ NAME | unquoted }}` is not: whoever sets the value writes shell code that runs\n\
     on the hosts. `runbook plan --commands` shows the command as it will run.";
    UNASKED = "W159", "nobody is asked before rollbacks expire",
    "From the start of a step that `opens` something, rollbacks that name it have expired, and nothing is rolled back automatically\n\
     any more. A gate right before it lets people decide that.";
    PAST = "W160", "the window is over",
    "The plan is from another night. `check` and `plan` only say so; `exec` refuses to start it. Copy it for the new night:\n\
     `runbook new NEW.yaml --from OLD.yaml`, then change the times.";
}

/// The entry of a code, in any case of letters.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|c| c.code.eq_ignore_ascii_case(code.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|w| w[0].code < w[1].code), "E before W, numbers rising");
        assert!(find("e021").is_some_and(|c| c.code == NO_UNDO));
    }
}
