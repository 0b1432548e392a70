//! Which hosts a pattern such as `web*,!web3` means, in the manner of Ansible. Knows no step.
//!
//! | term | hosts |
//! |---|---|
//! | `web`, `web1` | the group, the host; `all` is every host |
//! | `web*`, `db-?`, `db-[abc]` | groups and hosts with such a name |
//! | `web[01:20]` | the hosts of the range that there are |
//! | `web[0]`, `web[0:4]`, `web[-1]` | of a group, by place: from 0, the last one included |
//! | `a,b` | both |
//! | `!a`, `&a` | without those of `a`; only those that are in `a` as well. Their place in the list means nothing |

use std::collections::BTreeSet;

use super::ranges;
use crate::plan::model::Plan;
use crate::plan::nearest;

/// Names that are listed in a message.
const LISTED: usize = 12;

/// Why a pattern means no hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoHosts {
    pub message: String,
    pub hints: Vec<String>,
}

/// The hosts that the terms of a pattern mean together, in the plan's order; never empty.
///
/// # Errors
/// When a term, or all of them together, mean no host of the plan.
pub fn select<'p>(plan: &'p Plan, terms: &[String]) -> Result<Vec<&'p str>, NoHosts> {
    let terms: Vec<&str> = terms.iter().flat_map(|t| t.split(',')).map(str::trim).filter(|t| !t.is_empty()).collect();
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let (mut only, mut without): (Vec<BTreeSet<&str>>, Vec<BTreeSet<&str>>) = (Vec::new(), Vec::new());
    let mut positive = false;
    for term in &terms {
        let (kind, name) = match term.split_at(1) {
            (kind @ ("!" | "&"), name) => (kind, name),
            _ => ("", *term),
        };
        let hosts = matching(plan, name).ok_or_else(|| nothing(plan, name))?;
        match kind {
            "!" => without.push(hosts),
            "&" => only.push(hosts),
            _ => {
                positive = true;
                wanted.extend(hosts);
            }
        }
    }
    let chosen = |host: &&str| {
        (!positive || wanted.contains(host))
            && only.iter().all(|set| set.contains(host))
            && !without.iter().any(|set| set.contains(host))
    };
    let hosts: Vec<&str> = plan.hosts.keys().map(String::as_str).filter(chosen).collect();
    if hosts.is_empty() {
        let message = format!("no host is left of `{}`", terms.join(",").escape_debug());
        return Err(NoHosts { message, hints: known(plan) });
    }
    Ok(hosts)
}

/// The hosts of one term; `None` where there are none.
fn matching<'p>(plan: &'p Plan, term: &str) -> Option<BTreeSet<&'p str>> {
    let members = |group: &str| plan.groups.get(group).map(|g| g.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let all = || plan.hosts.keys().map(String::as_str);
    let own = |name: &str| plan.hosts.get_key_value(name).map(|(name, _)| BTreeSet::from([name.as_str()]));
    let found = match term {
        "all" | "*" => Some(all().collect()),
        _ => members(term).or_else(|| own(term)),
    };
    let found = found.or_else(|| {
        let names = term.contains('[').then(|| ranges::expand(term).ok()).flatten()?;
        Some(names.iter().filter_map(|name| members(name).or_else(|| own(name))).flatten().collect())
    });
    let found = found.filter(|hosts| !hosts.is_empty()).or_else(|| by_place(plan, term));
    let found = found.or_else(|| {
        let groups = plan.groups.iter().filter(|(name, _)| like(term, name)).flat_map(|(_, hosts)| hosts);
        Some(groups.map(String::as_str).chain(all().filter(|host| like(term, host))).collect())
    });
    found.filter(|hosts: &BTreeSet<&str>| !hosts.is_empty())
}

/// `GROUP[2]`, `GROUP[-1]`, `GROUP[0:4]`, `GROUP[3:]`.
fn by_place<'p>(plan: &'p Plan, term: &str) -> Option<BTreeSet<&'p str>> {
    let (group, place) = term.strip_suffix(']')?.split_once('[')?;
    let hosts = plan.groups.get(group)?;
    let at = |text: &str, unwritten: i64| -> Option<usize> {
        let n: i64 = if text.is_empty() { unwritten } else { text.parse().ok()? };
        usize::try_from(if n < 0 { n + i64::try_from(hosts.len()).ok()? } else { n }).ok()
    };
    let (first, last) = match place.split_once(':') {
        Some((first, last)) => (at(first, 0)?, at(last, -1)?),
        None => (at(place, 0)?, at(place, 0)?),
    };
    let last = last.min(hosts.len().checked_sub(1)?);
    Some(hosts.get(first..=last)?.iter().map(String::as_str).collect())
}

/// `*` stands for any text, `?` for one character, `[abc]` for one of these, everything else for itself.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Where to go on when the text behind the last `*` does not match; no recursion, so no pattern takes for ever.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(width) = one(&pattern[p..], text[t]) {
                    (p, t) = (p + width, t + 1);
                    continue;
                }
            }
            None => {}
        }
        let Some((at, from)) = star else { return false };
        star = Some((at, from + 1));
        (p, t) = (at + 1, from + 1);
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many characters of the pattern stand for `c`, if they do.
fn one(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().position(|p| *p == ']').filter(|end| *end > 1);
    match (pattern[0], end) {
        ('?', _) => Some(1),
        ('[', Some(end)) => {
            let inner = &pattern[1..end];
            let (negated, inner) = match inner {
                ['!', rest @ ..] if !rest.is_empty() => (true, rest),
                _ => (false, inner),
            };
            let ranged = inner.windows(3).any(|w| w[1] == '-' && (w[0]..=w[2]).contains(&c));
            ((ranged || inner.contains(&c)) != negated).then_some(end + 1)
        }
        (p, _) => (p == c).then_some(1),
    }
}

fn nothing(plan: &Plan, term: &str) -> NoHosts {
    let names = || plan.groups.keys().chain(plan.hosts.keys()).map(String::as_str);
    let mut hints: Vec<String> =
        nearest(term, names()).map(|near| format!("did you mean `{near}`?")).into_iter().collect();
    if term.contains(':') && !term.contains('[') {
        hints.push("several patterns have commas between them: 'web,!web3'".into());
    }
    hints.extend(known(plan));
    NoHosts { message: format!("no host or group of the plan matches `{}`", term.escape_debug()), hints }
}

/// What there is.
fn known(plan: &Plan) -> Vec<String> {
    let list = |what: &str, names: Vec<&str>| {
        let more = names.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| format!("its {what}: {shown}{more}"))
    };
    let groups = list("groups", plan.groups.keys().map(String::as_str).collect());
    let hosts = list("hosts", plan.hosts.keys().map(String::as_str).collect());
    let hosts = hosts.or_else(|| Some("the plan has no hosts".into()));
    groups.into_iter().chain(hosts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::source::Source;
    use crate::plan::{Draft, Outside};

    fn plan() -> Plan {
        let text = "runbook: 1\nhosts:\n  web: [web01, web02, web03, web10]\n  db: [db-a, db-b, db-c]\n  east: [web01, db-a]\n\
                    steps:\n  s: {hosts: all, test: \"true\"}\n";
        Draft::read(&Source::new("p", text)).check(&Outside::default()).plan.expect("a good plan")
    }

    fn chosen(pattern: &str) -> String {
        select(&plan(), &[pattern.to_owned()]).map_or_else(|e| e.message, |hosts| hosts.join(" "))
    }

    #[test]
    fn patterns_mean_what_they_mean_to_ansible() {
        for (pattern, hosts) in [
            ("web", "web01 web02 web03 web10"),
            ("db-b", "db-b"),
            ("all", "web01 web02 web03 web10 db-a db-b db-c"),
            ("web0*", "web01 web02 web03"),
            ("*-?", "db-a db-b db-c"),
            ("e*", "web01 db-a"),
            ("web[02:09]", "web02 web03"),
            ("db-[a:b]", "db-a db-b"),
            ("db-[ac]", "db-a db-c"),
            ("db-[!ac]", "db-b"),
            ("web0[1-2]", "web01 web02"),
            ("web[0]", "web01"),
            ("web[-1]", "web10"),
            ("web[1:2]", "web02 web03"),
            ("web[2:]", "web03 web10"),
            ("db,web10", "web10 db-a db-b db-c"),
            ("web,!web02", "web01 web03 web10"),
            ("!web02,web", "web01 web03 web10"),
            ("web,&east", "web01"),
            ("!web", "db-a db-b db-c"),
            ("&east,!db", "web01"),
            (" db-a , db-c ", "db-a db-c"),
        ] {
            assert_eq!(chosen(pattern), hosts, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_without_hosts_is_an_error_that_says_what_there_is() {
        assert_eq!(chosen("wbe"), "no host or group of the plan matches `wbe`");
        assert_eq!(
            chosen("web,!web11"),
            "no host or group of the plan matches `web11`",
            "a typing mistake would run on more"
        );
        assert_eq!(chosen("web,&db"), "no host is left of `web,&db`");
        assert_eq!(chosen("web[9]"), "no host or group of the plan matches `web[9]`");
        assert_eq!(chosen("[]"), "no host or group of the plan matches `[]`");
        let e = select(&plan(), &["web:!web1".into()]).expect_err("nothing");
        assert!(e.hints.iter().any(|h| h.contains("commas")), "{e:?}");
        let e = select(&plan(), &["wbe".into()]).expect_err("nothing");
        assert_eq!(e.hints[0], "did you mean `web`?");
        assert!(e.hints[1].contains("web, db, east") && e.hints[2].contains("web01"), "{e:?}");
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        assert!(!like(&"*a".repeat(200), &"a".repeat(150).replace("aa", "ab")));
    }
}
