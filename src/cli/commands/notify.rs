//! `runbook notify`: tells the owners of a plan's hosts when they are worked on, by the plan's channels, each of them once.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::letters::{Before, Letter, Letters, Unsent, Way, hosts_of, letters};
use crate::cli::load::{self, Loaded};
use crate::cli::variables::VarArgs;
use crate::cli::{confirm, output, save, store};
use crate::driver::clock;
use crate::journal::Store;
use crate::journal::told::Told;
use crate::plan::inventory::count;
use crate::report::escape_for_terminal as esc;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook notify week.yaml --dry-run                who would be told, by which channel
  runbook notify week.yaml                          asks, then sends
  runbook notify week.yaml --to hu --again          once more, to one owner
  runbook notify week.yaml --no-input --confirm week

The texts are those of `runbook plan PLAN --notices DIR`. Nobody is told twice of the same window:
what was sent is remembered in the store, by owner, wave and channel.")]
pub struct Args {
    /// The plan's file
    plan: PathBuf,
    /// Only show who would be told
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Only these owners, as their hosts name them; may be repeated
    #[arg(long, value_name = "OWNER", value_delimiter = ',')]
    to: Vec<String>,
    /// Also what was told before, or perhaps was
    #[arg(long)]
    again: bool,
    /// The plan's name, instead of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

/// One notice by one channel, and what is known of it.
struct Sending<'a> {
    letter: &'a Letter,
    way: &'a Way,
    before: Before,
    becomes: Becomes,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Becomes {
    ToSend,
    Sent,
    /// It was told, or cannot be.
    Left(String),
    Failed(String),
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let loaded = load::load_or_report(&args.plan, &args.vars.values()?, cx)?;
    let sendmail = cx.settings.sendmail();
    let ways = Way::all(&loaded, &args.plan, sendmail.as_ref().map(|(program, _)| program.as_path()));
    if ways.is_empty() {
        return Err(CommandError::usage("the plan tells nobody: it has no `notify`")
            .hint("say how:    notify: [{mail: ops@example.com}]   (owners are mailed at their own addresses)")
            .hint(format!("as files:   runbook plan {} --notices DIR", args.plan.display())));
    }
    let Letters { known, unknown } = letters(&loaded, &args.plan)?;
    let mut store = store::open(cx)?;
    let told = store.told(&loaded.plan.stem)?;
    let chosen = chosen(&known, &args.to)?;
    let mut sendings: Vec<Sending<'_>> =
        chosen.into_iter().flat_map(|letter| Sending::all(letter, &ways, &told, args.again)).collect();
    let mut lines: Vec<String> = sendings.iter().map(line).collect();
    if !unknown.is_empty() && args.to.is_empty() {
        lines.push(format!("nobody is told of {}: no owner", hosts_of(&unknown)));
    }
    save::say(&lines, cx);
    let n = sendings.iter().filter(|sending| sending.becomes == Becomes::ToSend).count();
    if n > 0 && !args.dry_run {
        let stem = &loaded.plan.stem;
        let question = format!("Send {}? Type {}: ", count(n, "notice"), esc(stem));
        confirm::name(cx, stem, args.confirm.as_deref(), &question)?;
        send(&mut sendings, &loaded, &mut store, cx)?;
    }
    report(&sendings, args, cx)
}

impl<'a> Sending<'a> {
    /// The letter by each way. An owner who is reached by one of them need not be by all.
    fn all(letter: &'a Letter, ways: &'a [Way], told: &[Told], again: bool) -> Vec<Self> {
        let reached = ways.iter().any(|way| way.cannot_reach(&letter.owner).is_none());
        let one = |way: &'a Way| {
            let before = letter.before(&way.name, told);
            let becomes = match (way.cannot_reach(&letter.owner), reached) {
                (None, _) => becomes(&before, again),
                (Some(why), true) => Becomes::Left(why.to_owned()),
                (Some(why), false) => Becomes::Failed(why.to_owned()),
            };
            Self { letter, way, before, becomes }
        };
        ways.iter().map(one).collect()
    }
}

/// The letters to these owners; all where none is named.
fn chosen<'a>(all: &'a [Letter], to: &[String]) -> Result<Vec<&'a Letter>, CommandError> {
    for name in to {
        if !all.iter().any(|letter| letter.key() == name) {
            let error =
                CommandError::usage(format!("no host of the plan's windows has the owner `{}`", name.escape_debug()));
            return Err(match crate::plan::nearest(name, all.iter().map(Letter::key)) {
                Some(near) => error.hint(format!("did you mean `{}`?", near.escape_debug())),
                None => error,
            });
        }
    }
    Ok(all.iter().filter(|letter| to.is_empty() || to.iter().any(|name| name == letter.key())).collect())
}

fn becomes(before: &Before, again: bool) -> Becomes {
    match before {
        Before::New | Before::Changed { .. } => Becomes::ToSend,
        _ if again => Becomes::ToSend,
        Before::Told { at, by } => Becomes::Left(format!("told {} by {}", store::minute(*at), esc(by))),
        Before::Perhaps { at, by } => {
            Becomes::Left(format!("perhaps told {} by {}; send it with --again", store::minute(*at), esc(by)))
        }
    }
}

/// `  Ms. Hu        1 host in few    mail 1        told Mon 30 Nov 17:01 by Sarah`.
fn line(sending: &Sending<'_>) -> String {
    let note = match (&sending.becomes, &sending.before) {
        (Becomes::Left(why), _) => format!("not sent: {why}"),
        (Becomes::Failed(why), _) => format!("NOT SENT: {why}"),
        (_, Before::New) => "to be sent".to_owned(),
        (_, Before::Changed { at }) => format!("to be sent again: it has changed since {}", store::minute(*at)),
        (_, Before::Told { at, .. } | Before::Perhaps { at, .. }) => {
            format!("to be sent again, as on {}", store::minute(*at))
        }
    };
    let Letter { owner, .. } = sending.letter;
    format!("  {:<20}  {:<24}  {:<12}  {note}", esc(&owner.name), esc(&sending.letter.about()), sending.way.name)
}

fn send(sendings: &mut [Sending<'_>], loaded: &Loaded, store: &mut Store, cx: &Context) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for sending in sendings.iter_mut().filter(|sending| sending.becomes == Becomes::ToSend) {
        let Sending { letter, way, .. } = sending;
        let rows = letter.rows(&loaded.plan.stem, &way.name, clock::now(), &cx.user);
        let message = store.about_to_tell(&rows)?;
        sending.becomes = match runtime.block_on(way.send(letter, loaded)) {
            Ok(()) => {
                store.has_told(&message, true)?;
                Becomes::Sent
            }
            Err(Unsent::Refused(why)) => {
                store.has_told(&message, false)?;
                Becomes::Failed(why)
            }
            Err(Unsent::Perhaps) => Becomes::Failed("no answer in time, so perhaps it was taken".to_owned()),
        };
        let (name, way) = (esc(&letter.owner.name), &way.name);
        save::say(
            &[match &sending.becomes {
                Becomes::Failed(why) => format!("NOT SENT to {name} by {way}: {}", esc(why)),
                _ => format!("sent to {name} by {way}"),
            }],
            cx,
        );
    }
    Ok(())
}

/// What became of all of them: on stdout for programs, and as the exit code.
fn report(sendings: &[Sending<'_>], args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    if cx.global.json {
        let all: Vec<_> = sendings.iter().map(document).collect();
        output::json(&json!({ "v": 1, "plan": args.plan, "notices": all }))?;
    }
    let failed = sendings.iter().filter(|sending| matches!(sending.becomes, Becomes::Failed(_))).count();
    if failed > 0 && !args.dry_run {
        return Err(CommandError::unexpected(format!(
            "{} of {} were not sent",
            failed,
            count(sendings.len(), "notice")
        ))
        .hint("what was sent is not sent again: mend it and call this once more"));
    }
    let sent = sendings.iter().filter(|sending| sending.becomes == Becomes::Sent).count();
    let wanted = sendings.iter().filter(|sending| sending.becomes == Becomes::ToSend).count();
    save::say(
        &[match (args.dry_run, sent) {
            (true, _) => format!("{} would be sent; nothing was", count(wanted, "notice")),
            (false, 0) => "nothing to send: everybody was told; --again sends it once more".to_owned(),
            (false, n) => format!("{} sent", count(n, "notice")),
        }],
        cx,
    );
    Ok(Exit::Done)
}

fn document(sending: &Sending<'_>) -> serde_json::Value {
    let (state, why) = match &sending.becomes {
        Becomes::ToSend => ("to_send", None),
        Becomes::Sent => ("sent", None),
        Becomes::Left(why) => ("not_sent", Some(why)),
        Becomes::Failed(why) => ("failed", Some(why)),
    };
    let owner = &sending.letter.owner;
    json!({
        "owner": sending.letter.key(), "name": owner.name, "mail": owner.mail, "channel": sending.way.name,
        "waves": owner.slots.iter().map(|slot| &slot.wave).collect::<Vec<_>>(), "state": state, "why": why,
    })
}
