//! A message as a mail, headers and all, for a program that works like `sendmail`. Sends nothing.

use std::fmt::Write as _;

use minijinja::{Environment, Error, context};

use super::escape::escape_for_terminal as esc;
use super::notice::Notice;
use super::text::fold;

const MAIL: &str = include_str!("../../templates/notices/event.mail.j2");
/// Columns of its text.
const WIDTH: usize = 76;
/// More of a subject nobody reads.
const SUBJECT: usize = 200;
/// Bytes that fit one encoded word: it may have 75 characters, twelve are its frame, and a byte takes three.
const PER_WORD: usize = 21;

/// What says that a text is plain, and in which letters.
const MIME: [&str; 4] = [
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
];

/// The whole mail. `own_words` are its text instead of ours.
///
/// # Errors
/// When the template does not render, which only a defect of this program could cause.
pub fn mail(notice: &Notice, to: &[String], own_words: Option<&str>) -> Result<String, Error> {
    let short: String = notice.subject().chars().take(SUBJECT).collect();
    let content = context! {
        to => esc(&to.join(", ")),
        subject => header(&short),
        id => notice.id.as_str(),
        run => notice.run.as_str(),
        own_words,
        headline => fold(&notice.headline, WIDTH).join("\n"),
        standing => fold(&notice.standing, WIDTH).join("\n"),
    };
    Ok(Environment::new().render_str(MAIL, content)? + "\n")
}

/// A notice to the owner of hosts as a mail. Where its template has written a head, with a subject, that is kept, but for
/// what mails want otherwise.
#[must_use]
pub fn letter(name: &str, address: &str, plan: &str, text: &str) -> String {
    let own = text.split_once("\n\n").filter(|(head, _)| line_of(head, "Subject: ").is_some());
    let (head, body) = own.unwrap_or(("", text));
    let subject = line_of(head, "Subject: ").map_or_else(|| format!("{}: maintenance", esc(plan)), str::to_owned);
    let mut lines = vec![format!("To: {}", mailbox(name, address)), format!("Subject: {}", header(&subject))];
    let said = |line: &&str| !line.starts_with("To: ") && !line.starts_with("Subject: ");
    lines.extend(head.lines().filter(said).map(str::to_owned));
    lines.extend(MIME.map(str::to_owned));
    format!("{}\n\n{body}", lines.join("\n"))
}

fn line_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name))
}

/// `"Hu, Sarah" <hu@example.org>`: whatever is in the name, it is one address.
fn mailbox(name: &str, address: &str) -> String {
    let (name, address) = (esc(name), esc(address));
    match name.is_ascii() {
        true => format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
        false => format!("{} <{address}>", header(&name)),
    }
}

/// The text of a header: as it is, or in the encoded words of RFC 2047 where it is not ASCII.
fn header(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    let mut left = PER_WORD;
    for c in text.chars() {
        if c.len_utf8() > left {
            words.push(String::new());
            left = PER_WORD;
        }
        left -= c.len_utf8();
        let word = words.last_mut().expect("begun with one");
        match c {
            ' ' => word.push('_'),
            c if c.is_ascii_alphanumeric() => word.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                let _ = write!(word, "={byte:02X}");
            }),
        }
    }
    words.iter().map(|word| format!("=?UTF-8?Q?{word}?=")).collect::<Vec<_>>().join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::notice::Kind;

    fn notice(title: &str) -> Notice {
        Notice {
            id: "night-a/12".into(),
            kind: Kind::GateOpened,
            at: String::new(),
            run: "night-a".into(),
            plan: "night".into(),
            title: title.into(),
            step: None,
            headline: "landing-test is asked: Sarah".into(),
            standing:
                "It is 4:10. It is the turn of Sarah: landing-test is asked since 4:10, answer by 4:40. We are on plan."
                    .into(),
        }
    }

    #[test]
    fn a_mail_says_what_happened_and_where_the_run_stands() {
        let mail = mail(&notice("A night"), &["ops@example.com".into(), "a\nBcc: b@example.com".into()], None).unwrap();
        let lines = [
            r"To: ops@example.com, a\nBcc: b@example.com",
            "Subject: A night: landing-test is asked: Sarah",
            "Auto-Submitted: auto-generated",
            "X-Runbook-Id: night-a/12",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
            "",
            "landing-test is asked: Sarah",
            "",
            "It is 4:10. It is the turn of Sarah: landing-test is asked since 4:10,",
            "answer by 4:40. We are on plan.",
            "",
            "    runbook status night-a",
            "",
        ];
        assert_eq!(mail, lines.join("\n"));
    }

    #[test]
    fn a_notice_to_an_owner_is_a_mail_in_any_language() {
        let head = |name: &str, text: &str| {
            let mail = letter(name, "hu@example.org", "Müll", text);
            let (head, body) = mail.split_once("\n\n").unwrap();
            let kept = head.lines().filter(|line| !MIME.contains(line)).collect::<Vec<_>>().join("|");
            assert!(MIME.iter().all(|line| head.contains(line)), "{head}");
            (kept, body.to_owned())
        };
        let text = "To: Hu, Sarah <hu@example.org>\nSubject: A week\nReply-To: ops@example.org\n\nDear Sarah\n";
        let (kept, body) = head("Hu, \"Sarah\"", text);
        assert_eq!(kept, r#"To: "Hu, \"Sarah\"" <hu@example.org>|Subject: A week|Reply-To: ops@example.org"#);
        assert_eq!(body, "Dear Sarah\n");
        let (kept, body) = head("Jürgen", "web: 1\n\nweb: 2\n");
        assert_eq!(kept, "To: =?UTF-8?Q?J=C3=BCrgen?= <hu@example.org>|Subject: =?UTF-8?Q?M=C3=BCll=3A_maintenance?=");
        assert_eq!(body, "web: 1\n\nweb: 2\n", "a template without a head is all text");
    }

    #[test]
    fn a_subject_in_any_language_is_legal_in_a_header() {
        assert_eq!(header("Night: done"), "Night: done");
        assert_eq!(header("Müll, 1"), "=?UTF-8?Q?M=C3=BCll=2C_1?=");
        let long = header(&"ü".repeat(30));
        assert_eq!(long.lines().count(), 3);
        assert!(long.lines().all(|line| line.is_ascii() && line.len() <= 76), "{long}");
        assert_eq!(long.matches("=C3=BC").count(), 30);
    }
}
