//! Windows as an iCalendar file (RFC 5545): one event per wave, or per owner and wave. Knows no disk.

use jiff::Timestamp;

/// Octets of a line before it is folded.
const LINE: usize = 75;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same for the same entry in a later version of the plan, so that calendars replace it.
    pub id: String,
    pub opens: Timestamp,
    pub closes: Timestamp,
    pub summary: String,
    /// Lines of any length.
    pub description: String,
    /// Whom it concerns, where that is known: name and mail address.
    pub attendee: Option<(String, String)>,
}

/// The file's text. `now` stands in it as the moment of writing.
#[must_use]
pub fn calendar(name: &str, events: &[Event], now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |text: &str| fold(text, &mut out);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line(concat!("PRODID:-//runbook//runbook ", env!("CARGO_PKG_VERSION"), "//EN"));
    line("CALSCALE:GREGORIAN");
    line("METHOD:PUBLISH");
    line(&format!("X-WR-CALNAME:{}", escaped(name)));
    for event in events {
        line("BEGIN:VEVENT");
        line(&format!("UID:{}@runbook", escaped(&event.id)));
        line(&format!("DTSTAMP:{}", utc(now)));
        line(&format!("DTSTART:{}", utc(event.opens)));
        line(&format!("DTEND:{}", utc(event.closes)));
        line(&format!("SUMMARY:{}", escaped(&event.summary)));
        line(&format!("DESCRIPTION:{}", escaped(&event.description)));
        if let Some((name, mail)) = &event.attendee {
            // A parameter's value has no escapes: what would end it is left out.
            let name: String = name.chars().filter(|c| !c.is_control() && *c != '"').collect();
            line(&format!("ATTENDEE;CN=\"{name}\";ROLE=NON-PARTICIPANT:mailto:{}", escaped(mail)));
        }
        line("STATUS:CONFIRMED");
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    out
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A line, continued on further ones that begin with a blank; no character is cut in two.
fn fold(text: &str, out: &mut String) {
    let mut width = 0;
    for c in text.chars() {
        if width + c.len_utf8() > LINE {
            out.push_str("\r\n ");
            width = 1;
        }
        out.push(c);
        width += c.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(summary: &str) -> String {
        let at = |t: &str| t.parse().expect("a time");
        let event = Event {
            id: "week/mon".into(),
            opens: at("2013-03-04T09:00:00Z"),
            closes: at("2013-03-04T12:00:00Z"),
            summary: summary.into(),
            description: "a, b; c\\d\ne\u{1b}f".into(),
            attendee: Some(("Ms. \"Hu\"".into(), "hu@example.org".into())),
        };
        calendar("Week", &[event], at("2013-03-01T00:00:00Z"))
    }

    /// What a reader sees: lines unfolded.
    fn lines(text: &str) -> Vec<String> {
        text.replace("\r\n ", "").split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_folded_at_75_octets_and_never_inside_a_character() {
        let long = "ü€".repeat(60);
        let text = text(&long);
        assert!(text.split("\r\n").all(|l| l.len() <= 75), "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "every line ends with CR LF");
        assert!(lines(&text).contains(&format!("SUMMARY:{long}")));
    }

    #[test]
    fn texts_are_escaped_and_times_are_in_utc() {
        let lines = lines(&text("Week"));
        assert!(lines.contains(&"DTSTART:20130304T090000Z".to_owned()));
        assert!(lines.contains(&"DTEND:20130304T120000Z".to_owned()));
        assert!(lines.contains(&"DESCRIPTION:a\\, b\\; c\\\\d\\nef".to_owned()), "{lines:?}");
        assert!(lines.contains(&"ATTENDEE;CN=\"Ms. Hu\";ROLE=NON-PARTICIPANT:mailto:hu@example.org".to_owned()));
    }
}
