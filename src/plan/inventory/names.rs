//! Which names hosts, groups, users and addresses may have: they reach command lines of ssh. Knows no inventory.

use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};

/// Words that stand for places, and so cannot be names of hosts or groups.
const RESERVED: [&str; 3] = ["local", "all", "wave"];

/// What is wrong with a name of a host or group, and what to write beside its place.
#[must_use]
pub fn bad_name(name: &str, what: &str) -> Option<(Diagnostic, &'static str)> {
    if RESERVED.contains(&name) {
        let d = Diagnostic::error(codes::HOST_NAME, format!("a {what} cannot be called `{name}`"));
        return Some((d, "this word stands for a place of its own"));
    }
    if is_host_name(name) {
        return None;
    }
    let d = Diagnostic::error(codes::HOST_NAME, format!("{} is not a name for a {what}", Quoted(name)));
    let d = d.help("allowed: letters, digits, `.`, `_`, `:` and `-`; not `-` first; at most 253 characters");
    Some((d, "not allowed"))
}

/// The same of an address or jump host, which may be `user@host`.
#[must_use]
pub fn bad_address(text: &str) -> Option<(Diagnostic, &'static str)> {
    let host = text.rsplit_once('@').map_or(text, |(_, h)| h).trim_start_matches('[').replacen(']', "", 1);
    let good = is_host_name(&host) && text.split_once('@').is_none_or(|(u, _)| is_user_name(u));
    (!good).then(|| {
        let d = Diagnostic::error(codes::HOST_NAME, format!("{} is not an address", Quoted(text)));
        (d, "a host name or an IP address")
    })
}

/// The same of a user.
#[must_use]
pub fn bad_user(text: &str) -> Option<(Diagnostic, &'static str)> {
    (!is_user_name(text)).then(|| {
        let d = Diagnostic::error(codes::HOST_NAME, format!("{} is not a user name", Quoted(text)));
        let d = d.help("allowed: letters, digits, `.`, `_` and `-`; not `-` first; at most 64 characters");
        (d, "not allowed")
    })
}

fn is_host_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=253).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(allowed)
        && !matches!(text, "." | "..")
}

fn is_user_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}
