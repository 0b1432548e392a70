//! One, few, many: waves take shares of groups, and together perhaps every host exactly once. Knows no step.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::Checker;
use super::clock::Base;
use super::gate::Asked;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{HostName, Plan, Share, Wave};
use crate::plan::raw::RawWave;
use crate::plan::span::{Span, Spanned};
use crate::plan::words;

impl Checker<'_> {
    pub fn waves(&mut self, plan: &Plan) -> Vec<Wave> {
        let Some(raw) = &self.raw.waves else {
            if let Some(covers) = &self.raw.covers {
                self.error(codes::WAVE, "`covers: all`, but the plan has no waves", covers.span, "covers by what?");
            }
            return Vec::new();
        };
        if let Some(window) = &self.raw.window {
            let d = Diagnostic::error(codes::WAVE, "the plan has both `window` and `waves`")
                .at(window.span, "each wave has its own window");
            self.found.push(d.label(raw.span, "the waves"));
        }
        let mut waves: Vec<Wave> = Vec::new();
        let mut names: BTreeMap<&str, Span> = BTreeMap::new();
        for one in &raw.value {
            if let Some(name) = &one.value.name
                && let Some(first) = names.insert(&name.value, name.span)
            {
                let d = Diagnostic::error(codes::WAVE, format!("two waves are called {}", Quoted(&name.value)));
                self.found.push(d.at(name.span, "again here").label(first, "first here"));
            }
            if let Some(wave) = self.wave(&one.value, one.span, plan) {
                waves.push(wave);
            }
        }
        if waves.len() == raw.value.len() && !self.machines.open {
            self.partition(&raw.value);
        }
        waves
    }

    fn wave(&mut self, raw: &RawWave, span: Span, plan: &Plan) -> Option<Wave> {
        for key in ["name", "opens", "closes", "hosts"] {
            if !raw.has(key) {
                let at = raw.name.as_ref().map_or(span, |n| n.span);
                let d = Diagnostic::error(codes::MISSING, format!("a wave without `{key}`"))
                    .at(at, format!("`{key}` is missing"));
                self.found.push(d.help("write `- {name: NAME, opens: \"2026-11-28 01:30\", closes: \"2026-11-28 07:00\", hosts: {GROUP: 30%}}`"));
            }
        }
        let fold = raw.fold.as_ref().map(|f| f.value.0);
        let opens = raw.opens.as_ref().and_then(|t| self.instant(t, Base::DateRequired, fold));
        let base = opens.map_or(Base::DateRequired, Base::NextAfter);
        let closes = raw
            .closes
            .as_ref()
            .filter(|t| opens.is_some() || t.value.contains(' '))
            .and_then(|t| self.instant(t, base, fold));
        if let (Some(from), Some(to), Some(text)) = (opens, closes, &raw.closes)
            && from >= to
        {
            self.error(codes::WINDOW_ORDER, "the wave closes before it opens", text.span, "closes");
        }
        let asked = Asked {
            who: &raw.who,
            checklist: &raw.checklist,
            call_ahead: raw.call_ahead.as_ref().map(|c| c.value.0),
            not_author: raw.not_author.as_ref().is_some_and(|b| b.value),
            quorum: raw.quorum.as_ref().map(|q| Spanned::new(q.value.0, q.span)),
        };
        let gate = raw.gate.as_ref().and_then(|g| self.question(g, &asked, plan));
        let mut shares = IndexMap::new();
        for (group, share) in raw.hosts.iter().flat_map(|h| &h.value.rows) {
            self.group_exists(group);
            shares.insert(group.value.clone(), share.value.0);
        }
        Some(Wave { name: raw.name.as_ref()?.value.clone(), opens: opens?, closes: closes?, gate, shares })
    }

    fn group_exists(&mut self, group: &Spanned<String>) {
        if self.machines.open || self.machines.groups.contains_key(&group.value) {
            return;
        }
        let known = self.machines.groups.keys().map(String::as_str);
        let d = Diagnostic::error(codes::UNKNOWN_HOST, format!("unknown group {}", Quoted(&group.value)));
        self.found.push(match words::nearest(&group.value, known) {
            Some(near) => d.at(group.span, format!("did you mean `{near}`?")).fix(group.span, near),
            None => d.at(group.span, "not a group of this plan"),
        });
    }

    /// Takes the shares in the order of the waves, and compares with `covers: all`.
    fn partition(&mut self, waves: &[Spanned<RawWave>]) {
        let mut taken: BTreeMap<HostName, String> = BTreeMap::new();
        for wave in waves {
            let name = wave.value.name.as_ref().map_or("", |n| n.value.as_str());
            for (group, share) in wave.value.hosts.iter().flat_map(|h| &h.value.rows) {
                let Some(members) = self.machines.groups.get(&group.value).cloned() else { continue };
                self.take(&members, group, share, name, &mut taken);
            }
        }
        let Some(covers) = &self.raw.covers else { return };
        let missed: Vec<&HostName> = self.machines.hosts.keys().filter(|h| !taken.contains_key(*h)).collect();
        if !missed.is_empty() {
            let shown: Vec<&str> = missed.iter().take(8).map(|h| h.as_str()).collect();
            let more = if missed.len() > 8 { format!(" and {} more", missed.len() - 8) } else { String::new() };
            let count = if missed.len() == 1 { "1 host is".to_string() } else { format!("{} hosts are", missed.len()) };
            let d = Diagnostic::error(codes::COVERAGE, format!("{count} in no wave: {}{more}", shown.join(", ")));
            self.found.push(
                d.at(covers.span, "covers every host exactly once")
                    .help("give the group a share `rest` in the last wave"),
            );
        }
    }

    fn take(
        &mut self,
        members: &[HostName],
        group: &Spanned<String>,
        share: &Spanned<crate::plan::scalars::Share>,
        wave: &str,
        taken: &mut BTreeMap<HostName, String>,
    ) {
        let free: Vec<&HostName> = members.iter().filter(|h| !taken.contains_key(*h)).collect();
        let wanted = match share.value.0 {
            Share::All => {
                if let Some(twice) = members.iter().find(|h| taken.contains_key(*h)) {
                    let other = &taken[twice];
                    let message = format!("{} is in two waves: `{other}` and `{wave}`", Quoted(twice));
                    let d = Diagnostic::error(codes::COVERAGE, message)
                        .at(share.span, format!("takes all of `{}`", group.value));
                    self.found.push(d.help("write `rest` for the hosts that no earlier wave took"));
                }
                free.len()
            }
            Share::Rest => free.len(),
            Share::Size(size) => size.at_least_one_of(members.len()).min(free.len()),
        };
        if free.is_empty() && !members.is_empty() && share.value.0 != Share::All {
            let message = format!("nothing is left of group {} for wave `{wave}`", Quoted(&group.value));
            self.found
                .push(Diagnostic::warning(codes::WAVE_EMPTY, message).at(share.span, "earlier waves took all of it"));
        }
        for host in free.into_iter().take(wanted) {
            taken.insert(host.clone(), wave.to_string());
        }
    }
}
