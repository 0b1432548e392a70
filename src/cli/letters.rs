//! The notices of a plan to the owners of its hosts: rendered, compared with what was told before, and sent by a channel of the
//! plan. Asks nobody.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::process::Command;

use super::error::CommandError;
use super::load::Loaded;
use super::notify::process::feed;
use super::programs;
use crate::journal::told::Told;
use crate::plan::inventory::count;
use crate::plan::model::{NoticeChannel, Notify};
use crate::report;
use crate::report::owners::{self, Owner, Slot};
use crate::report::week::Week;
use crate::transport::{host_of, post};

/// A channel has so long to take a notice.
const PATIENCE: Duration = Duration::from_secs(10);

/// The notice that is written where the plan has no template of its own.
const NOTICE: &str = include_str!("../../templates/notices/notice.txt.j2");
/// Where a plan's own template is looked for, in `templates/` beside the plan and above it.
const NOTICE_FILE: &str = "notices/notice.txt.j2";

/// All notices of a plan.
#[derive(Debug)]
pub struct Letters {
    pub known: Vec<Letter>,
    /// Hosts without an owner.
    pub unknown: Vec<Owner>,
}

/// One owner's notice.
#[derive(Debug)]
pub struct Letter {
    pub owner: Owner,
    pub text: String,
}

/// Renders the notices of a plan, one per owner.
///
/// # Errors
/// When no host has an owner, or the template cannot be rendered.
pub fn letters(loaded: &Loaded, plan_file: &Path) -> Result<Letters, CommandError> {
    let plan = &loaded.plan;
    let all = owners::owners(plan, &Week::of(plan));
    let (known, unknown): (Vec<Owner>, Vec<Owner>) = all.into_iter().partition(|o| o.key.is_some());
    if known.is_empty() {
        return Err(CommandError::usage("no host of the plan's windows has an owner, so nobody can be told")
            .hint("give groups or hosts an owner: `web: {hosts: [...], owner: NAME}`, or the variable `owner` in the inventory"));
    }
    let (template, text) = template(plan_file)?;
    let letter = |owner: Owner| match owners::notice(plan, &owner, &text) {
        Ok(text) => Ok(Letter { owner, text }),
        Err(e) => {
            let line = e.line().map_or_else(String::new, |l| format!(":{l}"));
            let why = e.detail().unwrap_or("it is no template");
            Err(CommandError::usage(format!("{}{line} cannot be rendered: {why}", template.display())))
        }
    };
    Ok(Letters { known: known.into_iter().map(letter).collect::<Result<_, _>>()?, unknown })
}

/// The plan's own template, or ours.
fn template(plan_file: &Path) -> Result<(PathBuf, String), CommandError> {
    let beside = plan_file.parent().unwrap_or(Path::new(""));
    let own = [beside.join("templates").join(NOTICE_FILE), beside.join("../templates").join(NOTICE_FILE)];
    match own.into_iter().find(|p| p.is_file()) {
        Some(path) => match fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(e) => Err(CommandError::unexpected(format!("cannot read {}: {e}", path.display()))),
        },
        None => Ok((PathBuf::from("the notice"), NOTICE.to_owned())),
    }
}

/// `3 hosts`: of these owners together.
#[must_use]
pub fn hosts_of(owners: &[Owner]) -> String {
    count(owners.iter().flat_map(|o| &o.slots).map(|s| s.hosts.len()).sum(), "host")
}

/// What is known of a letter and a channel before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Nothing of it was told.
    New,
    /// Something was, and it is different now.
    Changed { at: Timestamp },
    /// All of it was told.
    Told { at: Timestamp, by: String },
    /// It was on its way when its sender ended.
    Perhaps { at: Timestamp, by: String },
}

impl Letter {
    /// The owner, as hosts say it.
    #[must_use]
    pub fn key(&self) -> &str {
        self.owner.key.as_deref().unwrap_or_default()
    }

    /// `3 hosts in few, rest`.
    #[must_use]
    pub fn about(&self) -> String {
        let hosts = count(self.owner.slots.iter().map(|slot| slot.hosts.len()).sum(), "host");
        let waves: Vec<&str> =
            self.owner.slots.iter().map(|slot| slot.wave.as_str()).filter(|w| !w.is_empty()).collect();
        if waves.is_empty() { hosts } else { format!("{hosts} in {}", waves.join(", ")) }
    }

    /// What was told of it by this channel. Only the last word about each window counts.
    #[must_use]
    pub fn before(&self, channel: &str, told: &[Told]) -> Before {
        let of_channel = |row: &&Told| row.owner == self.key() && row.channel == channel;
        let last = |slot: &Slot| told.iter().rev().filter(of_channel).find(|row| row.wave == slot.wave);
        let rows: Vec<Option<&Told>> = self.owner.slots.iter().map(last).collect();
        let Some(newest) = rows.iter().flatten().max_by_key(|row| row.at) else { return Before::New };
        let (at, by) = (newest.at, newest.by.clone());
        let same = |(slot, row): (&Slot, &Option<&Told>)| row.is_some_and(|row| row.said == said(slot));
        match () {
            () if rows.iter().flatten().any(|row| !row.arrived) => Before::Perhaps { at, by },
            () if self.owner.slots.iter().zip(&rows).all(same) => Before::Told { at, by },
            () => Before::Changed { at },
        }
    }

    /// What is written down about it before it is sent.
    #[must_use]
    pub fn rows(&self, plan: &str, channel: &str, at: Timestamp, by: &str) -> Vec<Told> {
        let row = |slot: &Slot| Told {
            plan: plan.to_owned(),
            owner: self.key().to_owned(),
            wave: slot.wave.clone(),
            channel: channel.to_owned(),
            said: said(slot),
            at,
            by: by.to_owned(),
            arrived: false,
        };
        self.owner.slots.iter().map(row).collect()
    }

    /// For programs and chat rooms.
    fn document(&self, loaded: &Loaded) -> String {
        let wave = |slot: &Slot| {
            json!({
                "wave": slot.wave, "opens": slot.opens, "closes": slot.closes, "hosts": slot.hosts,
                "times_kept": slot.kept,
            })
        };
        let waves: Vec<_> = self.owner.slots.iter().map(wave).collect();
        let document = json!({
            "id": format!("{}/{}", loaded.plan.stem, self.key()),
            "event": "maintenance",
            "plan": loaded.plan.stem,
            "title": loaded.plan.name,
            "owner": self.key(),
            "owner_name": self.owner.name,
            "owner_mail": self.owner.mail,
            "waves": waves,
            "text": self.text,
        });
        format!("{document}\n")
    }
}

/// Times and hosts of a window: what makes it another one than was told.
fn said(slot: &Slot) -> String {
    format!("{} {} {}", slot.opens, slot.closes, slot.hosts.join(" "))
}

/// A channel of the plan, for notices.
#[derive(Debug)]
pub struct Way {
    /// `command 1`, `mail 2`, `webhook 3 (chat.example.com)`: by its place in the plan.
    pub name: String,
    by: By,
}

#[derive(Debug)]
enum By {
    Webhook(String),
    /// A text for the shell, and the plan's folder.
    Command(String, PathBuf),
    /// To the owner, by this program.
    Mail(PathBuf),
}

impl Way {
    /// The channels of the plan, in its order. `sendmail` is the program that the settings name.
    #[must_use]
    pub fn all(loaded: &Loaded, file: &Path, sendmail: Option<&Path>) -> Vec<Self> {
        let mailer =
            || sendmail.map(Path::to_owned).or_else(|| programs::find("sendmail")).unwrap_or_else(|| "sendmail".into());
        let folder = || file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let way = |(at, channel): (usize, &NoticeChannel)| match &channel.by {
            Notify::Webhook { url } => {
                let host = host_of(url).map_or(String::new(), |host| format!(" ({host})"));
                Self { name: format!("webhook {}{host}", at + 1), by: By::Webhook(url.clone()) }
            }
            Notify::Command(text) => {
                Self { name: format!("command {}", at + 1), by: By::Command(text.clone(), folder()) }
            }
            Notify::Mail { .. } => Self { name: format!("mail {}", at + 1), by: By::Mail(mailer()) },
        };
        loaded.plan.notify.iter().enumerate().map(way).collect()
    }

    /// Why this owner cannot be reached that way, where that is known.
    #[must_use]
    pub fn cannot_reach(&self, owner: &Owner) -> Option<&'static str> {
        (matches!(self.by, By::Mail(_)) && owner.mail.is_none()).then_some("no mail address is known")
    }

    /// Sends it, once.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, letter: &Letter, loaded: &Loaded) -> Result<(), Unsent> {
        let sent = tokio::time::timeout(PATIENCE, self.deliver(letter, loaded)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(Unsent::Refused(why)),
            Err(_) => Err(Unsent::Perhaps),
        }
    }

    async fn deliver(&self, letter: &Letter, loaded: &Loaded) -> Result<(), String> {
        match &self.by {
            By::Webhook(url) => post(url, letter.document(loaded)).await,
            By::Command(text, folder) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(text).current_dir(folder);
                feed(shell, letter.document(loaded)).await
            }
            By::Mail(program) => {
                let mut program = Command::new(program);
                let address = letter.owner.mail.as_deref().unwrap_or_default();
                program.args(["-i", "--", address]);
                feed(program, report::letter(&letter.owner.name, address, &loaded.plan.name, &letter.text)).await
            }
        }
    }
}

/// Why a notice was not certainly sent.
#[derive(Debug)]
pub enum Unsent {
    /// The channel said no.
    Refused(String),
    /// It said nothing in time.
    Perhaps,
}
