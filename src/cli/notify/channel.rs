//! The ways by which a message leaves this machine. Tries once; knows nothing of patience.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::process::Command;

use super::log;
use super::process::feed;
use super::worker::Way;
use crate::cli::programs;
use crate::cli::setup::{Night, Setup};
use crate::plan::model::{NoticeChannel, Notify, Plan};
use crate::report::mail;
use crate::report::notice::Notice;
use crate::template::notice::render;
use crate::transport::{host_of, post};

/// One entry of the plan's `notify`.
#[derive(Debug)]
pub struct Channel {
    /// `webhook 1 (chat.example.com)`: by its place in the plan, without what is secret in an address.
    name: String,
    by: By,
    words: Words,
}

/// Whose words are sent.
#[derive(Debug)]
enum Words {
    Ours,
    /// A template of the plan, by name and text.
    Own {
        name: String,
        text: String,
    },
}

#[derive(Debug)]
enum By {
    Webhook {
        url: String,
    },
    /// A text for the shell, and the plan's folder.
    Command {
        text: String,
        folder: PathBuf,
    },
    Mail {
        sendmail: PathBuf,
        to: Vec<String>,
    },
    /// Nothing real has happened, so nobody is told: the engine's log says what would have been sent.
    Log,
}

impl Channel {
    /// The channels of a run, in the plan's order.
    pub fn all(night: &Night) -> Vec<Self> {
        let channel = |(at, channel): (usize, &NoticeChannel)| {
            let by = if is_real(night) { By::of(&channel.by, &night.setup) } else { By::Log };
            Self { name: name(at + 1, &channel.by), by, words: Words::of(channel, &night.plan) }
        };
        night.plan.notify.iter().enumerate().map(channel).collect()
    }
}

/// Whether what happens in this run happens to anybody.
fn is_real(night: &Night) -> bool {
    night.started.options.stage().is_real()
}

pub fn name(number: usize, notify: &Notify) -> String {
    match notify {
        Notify::Webhook { url } => match host_of(url) {
            Some(host) => format!("webhook {number} ({host})"),
            None => format!("webhook {number}"),
        },
        Notify::Command(_) => format!("command {number}"),
        Notify::Mail { to } => format!("mail {number} ({})", to.join(", ")),
    }
}

impl Words {
    fn of(channel: &NoticeChannel, plan: &Plan) -> Self {
        let own = channel.template.as_ref().and_then(|name| Some((name, plan.files.get(name)?.text.as_ref()?)));
        own.map_or(Self::Ours, |(name, text)| Self::Own { name: name.clone(), text: text.clone() })
    }

    fn own(&self, notice: &Notice) -> Result<Option<String>, String> {
        match self {
            Self::Ours => Ok(None),
            Self::Own { name, text } => {
                render(name, text, &notice.values()).map(Some).map_err(|e| format!("{name} cannot be rendered: {e}"))
            }
        }
    }
}

impl By {
    fn of(notify: &Notify, setup: &Setup) -> Self {
        match notify {
            Notify::Webhook { url } => Self::Webhook { url: url.clone() },
            Notify::Command(text) => Self::Command { text: text.clone(), folder: setup.plan_dir().to_owned() },
            Notify::Mail { to } => Self::Mail { sendmail: sendmail(setup), to: to.clone() },
        }
    }
}

/// The program that is configured, or that there is. What is nowhere is said when it is needed.
fn sendmail(setup: &Setup) -> PathBuf {
    mailer(setup).unwrap_or_else(|| "sendmail".into())
}

pub fn mailer(setup: &Setup) -> Option<PathBuf> {
    setup.sendmail.clone().or_else(|| programs::find("sendmail"))
}

impl Way for Channel {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, notice: Arc<Notice>) -> Result<(), String> {
        let own = self.words.own(&notice)?;
        let document = || own.clone().map_or_else(|| notice.document().map_err(|e| e.to_string()), Ok);
        match &self.by {
            By::Webhook { url } => post(url, document()?).await,
            By::Command { text, folder } => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(text).current_dir(folder);
                feed(shell, document()?).await
            }
            By::Mail { sendmail, to } => {
                let mut program = Command::new(sendmail);
                program.args(["-i", "--"]).args(to);
                feed(program, mail(&notice, to, own.as_deref()).map_err(|e| e.to_string())?).await
            }
            By::Log => {
                log(&format!("not sent by {}: {}. {}", self.name, notice.subject(), notice.standing));
                Ok(())
            }
        }
    }
}
