//! How a terminal calls for a person: it rings, and shows a notification where it knows how. Makes sequences; writes nothing.

use jiff::{SignedDuration, Timestamp};

use super::escape::escape_for_terminal as esc;
use super::notice::{Kind, Notice, notice};
use crate::view::RunView;

const RING: &str = "\u{7}";
/// What happened longer before a terminal began to watch is no news for whoever sits there.
const NEWS: SignedDuration = SignedDuration::from_secs(5);

/// An operating system command of the terminal. No character of `text` can end it, or begin another one.
pub(super) fn osc(command: &str, text: &str) -> String {
    format!("\u{1b}]{command};{}\u{7}", esc(text))
}

/// How a terminal shows a notification on the desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Popup {
    /// `OSC 9`, as iTerm2 began it.
    Text,
    /// `OSC 777`, as urxvt began it.
    TitleAndText,
}

impl Popup {
    /// By what a terminal says of itself in the environment; `None` for one that is not known to have any.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let has = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        // A multiplexer swallows them, whatever terminal stands behind it.
        if has("TMUX") || has("STY") {
            return None;
        }
        let program = variable("TERM_PROGRAM").unwrap_or_default();
        let term = variable("TERM").unwrap_or_default();
        match (program.as_str(), term.as_str()) {
            ("iTerm.app" | "WezTerm" | "ghostty", _) | (_, "xterm-kitty" | "xterm-ghostty" | "wezterm") => {
                Some(Self::Text)
            }
            (_, term) if term.starts_with("foot") || term.starts_with("rxvt-unicode") => Some(Self::TitleAndText),
            _ => has("VTE_VERSION").then_some(Self::TitleAndText),
        }
    }

    /// A text that begins with a number would be a command of another kind in some terminals, so it never does.
    fn show(self, notice: &Notice) -> String {
        match self {
            Self::Text => osc("9", &format!("runbook: {}", notice.subject())),
            Self::TitleAndText => osc("777;notify;runbook", &notice.subject().replace(';', ",")),
        }
    }
}

/// Calls once for each event that somebody should know of.
#[derive(Debug)]
pub struct Bell {
    /// Events that were looked at.
    heard: usize,
    began: Option<Timestamp>,
    popup: Option<Popup>,
}

impl Bell {
    #[must_use]
    pub const fn new(popup: Option<Popup>) -> Self {
        Self { heard: 0, began: None, popup }
    }

    /// The sequences for what is new; `None` where nothing of it calls for anybody. Several events at once ring once, and the
    /// last of them is shown.
    pub fn call(&mut self, view: &RunView, now: Timestamp) -> Option<String> {
        let began = *self.began.get_or_insert(now);
        let new = &view.events()[self.heard.min(view.events().len())..];
        self.heard = view.events().len();
        let loud = new.iter().rev().filter(|e| began.duration_since(e.at) <= NEWS);
        let loud = loud.filter(|e| Kind::of(&e.what).is_some_and(Kind::calls));
        let notice = loud.filter_map(|event| notice(view, event)).next()?;
        let shown = self.popup.map_or_else(String::new, |popup| popup.show(&notice));
        Some(format!("{RING}{shown}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popup(variables: &[(&str, &str)]) -> Option<Popup> {
        Popup::of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_terminal_shows_what_it_is_known_to_show() {
        assert_eq!(popup(&[("TERM", "xterm-256color")]), None);
        assert_eq!(popup(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Some(Popup::Text));
        assert_eq!(popup(&[("TERM", "xterm-kitty")]), Some(Popup::Text));
        assert_eq!(popup(&[("TERM", "foot-extra")]), Some(Popup::TitleAndText));
        assert_eq!(popup(&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")]), Some(Popup::TitleAndText));
        assert_eq!(popup(&[("TERM", "tmux"), ("VTE_VERSION", "7600"), ("TMUX", "/tmp/tmux")]), None);
        assert_eq!(popup(&[("TERM", "xterm-kitty"), ("STY", "1.pts")]), None);
    }

    #[test]
    fn no_text_ends_its_command_or_begins_another() {
        let hostile = "x\u{7}\u{1b}]52;c;aGk=\u{7}\u{1b}\\\u{9c}\u{9d}2;y\r\n\u{202e}";
        let said = osc("2", hostile);
        let text = said.strip_prefix("\u{1b}]2;").unwrap().strip_suffix('\u{7}').unwrap();
        assert!(!text.chars().any(char::is_control) && !text.contains('\u{202e}'), "{text:?}");
        assert_eq!(text, r"x\x07\e]52;c;aGk=\x07\e\\x9c\x9d2;y\r\n\u{202e}");
    }

    fn notice_of(title: &str) -> Notice {
        Notice {
            id: String::new(),
            kind: Kind::RunEnded,
            at: String::new(),
            run: String::new(),
            plan: String::new(),
            title: title.into(),
            step: None,
            headline: "done".into(),
            standing: String::new(),
        }
    }

    #[test]
    fn a_title_is_no_parameter() {
        // `OSC 9;4;1;50` draws a progress bar where `OSC 9` shows notifications.
        assert_eq!(Popup::Text.show(&notice_of("4;1;50")), "\u{1b}]9;runbook: 4;1;50: done\u{7}");
        assert_eq!(Popup::TitleAndText.show(&notice_of("a;b")), "\u{1b}]777;notify;runbook;a,b: done\u{7}");
    }
}
