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
    fn a_subject_in_any_language_is_legal_in_a_header() {
        assert_eq!(header("Night: done"), "Night: done");
        assert_eq!(header("Müll, 1"), "=?UTF-8?Q?M=C3=BCll=2C_1?=");
        let long = header(&"ü".repeat(30));
        assert_eq!(long.lines().count(), 3);
        assert!(long.lines().all(|line| line.is_ascii() && line.len() <= 76), "{long}");
        assert_eq!(long.matches("=C3=BC").count(), 30);
    }
}
