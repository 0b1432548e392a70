//! What waits for what: needs resolved, cycles refused, gates before what cannot be undone. Knows no time.

use std::collections::BTreeSet;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Need, Place, Plan, Step, StepId, Undo};
use crate::plan::span::{Span, Spanned};
use crate::plan::words;

/// Needs that name no step.
#[derive(Default)]
struct Misspelt {
    /// The step, and its need with the name that was meant.
    meant: Vec<(StepId, Need)>,
    /// Whether there are others, of which nobody can tell what was meant.
    unclear: bool,
}

impl Misspelt {
    /// Puts in what was meant, so that one wrong letter is one finding. Returns whether the order is complete.
    fn correct(self, plan: &mut Plan) -> bool {
        for (step, need) in self.meant {
            let before = plan.steps.get(&step).map(|s| s.needs.clone()).unwrap_or_default();
            if let Some(step) = plan.steps.get_mut(&step).filter(|s| !s.needs.contains(&need)) {
                step.needs.push(need);
            }
            if !Order::new(plan).cycles().is_empty() {
                plan.steps[&step].needs = before;
                return false;
            }
        }
        !self.unclear
    }
}

/// The order of steps by their rows in the plan.
struct Order {
    /// For every step, the steps it needs.
    needs: Vec<Vec<usize>>,
}

impl Checker<'_> {
    /// Makes every need explicit and proves that the steps have an order.
    pub fn order(&mut self, plan: &mut Plan) {
        let mut misspelt = Misspelt::default();
        if self.any_needs() {
            self.all_or_nothing();
            misspelt = self.references(plan);
        } else {
            chain(plan);
        }
        let cycles = Order::new(plan).cycles();
        for cycle in &cycles {
            self.cycle(cycle, plan);
        }
        if cycles.is_empty() {
            let complete = misspelt.correct(plan);
            if complete {
                self.no_way_back(plan);
            }
        }
    }

    fn any_needs(&self) -> bool {
        self.raw.steps.iter().flat_map(|s| &s.value.rows).any(|(_, raw)| raw.value.has("needs"))
    }

    /// The first step of the file may leave it out: nothing stands before it, so nothing can be forgotten.
    fn all_or_nothing(&mut self) {
        let rows = || self.raw.steps.iter().flat_map(|s| &s.value.rows);
        let without: Vec<&Spanned<String>> =
            rows().skip(1).filter(|(_, raw)| !raw.value.has("needs")).map(|(name, _)| name).collect();
        let Some((first, more)) = without.split_first() else { return };
        let others = match more.len() {
            0 => String::new(),
            n => format!(" (and {n} more steps)"),
        };
        let message = format!("step {}{others} does not say what it needs, but others do", Quoted(&first.value));
        let mut d = Diagnostic::error(codes::MIXED_NEEDS, message).at(first.span, "has no `needs`");
        for name in more.iter().take(3) {
            d = d.label(name.span, "has no `needs`");
        }
        if let Some(span) = rows().find_map(|(_, raw)| raw.value.place_of("needs")) {
            d = d.label(span, "this one says it");
        }
        self.found.push(
            d.why("a forgotten `needs` would let a step start at once, or let it wait for the wrong one")
                .help("write `needs: []` for a step that waits for nothing; or remove every `needs`: then the order is the file's"),
        );
    }

    /// Unknown steps and steps that need themselves; what is left is a graph.
    fn references(&mut self, plan: &mut Plan) -> Misspelt {
        let raw = self.raw;
        let mut misspelt = Misspelt::default();
        for (name, row) in raw.steps.iter().flat_map(|s| &s.value.rows) {
            let mut seen = BTreeSet::new();
            for need in row.value.needs.iter().flat_map(|n| &n.value) {
                let wanted = &need.value.step;
                if wanted.value == name.value {
                    let message = format!("step {} needs itself", Quoted(&name.value));
                    self.error(codes::CYCLE, message, wanted.span, "could never start");
                } else if !self.is_step(&wanted.value) {
                    match self.unknown_step(name, wanted) {
                        Some(near) if misspelt.meant.len() < 20 => {
                            let need = Need { step: near.to_string(), same_host: need.value.same_host };
                            misspelt.meant.push((name.value.clone(), need));
                        }
                        Some(_) | None => misspelt.unclear = true,
                    }
                } else if !seen.insert(wanted.value.as_str()) {
                    let message = format!("{} is needed twice", Quoted(&wanted.value));
                    self.found.push(Diagnostic::warning(codes::TWICE_NEEDED, message).at(wanted.span, "named before"));
                } else if need.value.same_host {
                    self.same_host(name, wanted, plan);
                }
            }
        }
        keep_legal_needs(plan);
        misspelt
    }

    /// Says so, and returns the name that was meant, where that can be told.
    fn unknown_step(&mut self, name: &Spanned<String>, wanted: &Spanned<String>) -> Option<&str> {
        let message = format!("{} needs {}, but no step has that name", Quoted(&name.value), Quoted(&wanted.value));
        let d = Diagnostic::error(codes::UNKNOWN_STEP, message).at(wanted.span, "not a step of this plan");
        let near = words::nearest(&wanted.value, self.names.keys().copied().filter(|n| *n != name.value));
        let d = match near {
            Some(near) => {
                let d = match self.name_of(near) {
                    Some(span) => d.label(span, "this one has a similar name"),
                    None => d,
                };
                d.help(format!("write `needs: [{near}]`")).fix(wanted.span, near)
            }
            None => {
                let known: Vec<&str> = self.names.keys().copied().take(12).collect();
                d.help(format!("steps: {}{}", known.join(", "), if self.names.len() > 12 { ", ..." } else { "" }))
            }
        };
        self.found.push(d);
        near
    }

    fn same_host(&mut self, name: &Spanned<String>, wanted: &Spanned<String>, plan: &Plan) {
        let (Some(here), Some(there)) = (plan.steps.get(&name.value), plan.steps.get(&wanted.value)) else { return };
        let shared = match (&here.place, &there.place) {
            (Place::Hosts(a), Place::Hosts(b)) => {
                let b: BTreeSet<_> = b.iter().collect();
                a.iter().any(|h| b.contains(h))
            }
            (a, b) => a == b && *a != Place::Nowhere,
        };
        if !shared {
            let message = format!("{} and {} have no host in common", Quoted(&name.value), Quoted(&wanted.value));
            let d = Diagnostic::error(codes::SAME_HOST, message).at(wanted.span, "`same_host` would wait for nothing");
            self.found.push(d.help("remove `same_host: true` to wait for all hosts of that step"));
        }
    }

    fn cycle(&mut self, cycle: &[usize], plan: &Plan) {
        let id = |i: usize| plan.steps.get_index(i).map_or("", |(id, _)| id.as_str());
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|i| id(*i)).collect();
        let message = format!("steps wait for each other: {}", names.join(" -> "));
        let mut d = Diagnostic::error(codes::CYCLE, message);
        for pair in names.windows(2).take(8) {
            let span = self.need_span(pair[0], pair[1]);
            let line = self.name_of(pair[1]).map_or(0, |s| self.line(s));
            let text = format!("`{}` needs `{}` (line {line})", pair[0], pair[1]);
            d = if d.primary.is_none() { d.at(span, text) } else { d.label(span, text) };
        }
        self.found.push(d.why("none of them could ever start").help("remove one of these needs"));
    }

    fn need_span(&self, step: &str, needed: &str) -> Span {
        let needs = self.raw_step(&step.to_string()).and_then(|raw| raw.needs.as_ref());
        let need =
            needs.iter().flat_map(|n| &n.value).find(|n| n.value.step.value == needed).map(|n| n.value.step.span);
        need.or_else(|| self.name_of(step)).unwrap_or_default()
    }

    /// What cannot be undone must be approved by somebody before.
    fn no_way_back(&mut self, plan: &Plan) {
        let cannot_be_undone = |(_, step): &(usize, &Step)| matches!(step.undo, Undo::Irreversible(_));
        let irreversible: Vec<_> = plan.steps.values().enumerate().filter(cannot_be_undone).collect();
        if irreversible.is_empty() {
            return;
        }
        let order = Order::new(plan);
        for (i, step) in irreversible {
            let upstream = order.upstream(i);
            let gated = upstream.iter().any(|u| plan.steps.get_index(*u).is_some_and(|(_, s)| s.gate.is_some()));
            if gated || plan.waves.iter().any(|w| w.gate.is_some()) {
                continue;
            }
            let at = self.raw_step(&step.id).and_then(|raw| raw.place_of("irreversible"));
            let at = at.or_else(|| self.name_of(&step.id)).unwrap_or_default();
            self.found.push(
                Diagnostic::error(
                    codes::NO_GATE,
                    format!("{} cannot be undone, and nobody is asked before it", Quoted(&step.id)),
                )
                .at(at, "no way back from here")
                .why("from this step on the plan can only go forward; that is a decision for people")
                .help("add a step with `gate: QUESTION`, and let this one need it"),
            );
        }
    }

    /// Whether `before` must be done before `step` starts.
    pub fn is_upstream(plan: &Plan, step: &str, before: &str) -> bool {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![step];
        while let Some(id) = open.pop() {
            for need in plan.steps.get(id).iter().flat_map(|s| &s.needs) {
                if need.step == before {
                    return true;
                }
                if seen.insert(&need.step) {
                    open.push(&need.step);
                }
            }
        }
        false
    }
}

/// Leaves the needs that name other steps of the plan, each once.
fn keep_legal_needs(plan: &mut Plan) {
    for i in 0..plan.steps.len() {
        let mut needs = std::mem::take(&mut plan.steps[i].needs);
        let mut seen = BTreeSet::new();
        needs.retain(|need| plan.steps.get_index_of(&need.step).is_some_and(|row| row != i && seen.insert(row)));
        plan.steps[i].needs = needs;
    }
}

/// Without any `needs` a plan is a list: each step waits for the one before.
fn chain(plan: &mut Plan) {
    let mut before: Option<StepId> = None;
    for step in plan.steps.values_mut() {
        step.needs = before.iter().map(|id| Need { step: id.clone(), same_host: false }).collect();
        before = Some(step.id.clone());
    }
}

impl Order {
    fn new(plan: &Plan) -> Self {
        let needs =
            plan.steps.values().map(|s| s.needs.iter().filter_map(|n| plan.steps.get_index_of(&n.step)).collect());
        Self { needs: needs.collect() }
    }

    /// Everything that must be done before `step`.
    fn upstream(&self, step: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut open = vec![step];
        while let Some(i) = open.pop() {
            open.extend(self.needs[i].iter().filter(|n| seen.insert(**n)));
        }
        seen
    }

    /// Disjoint cycles, members in the order of waiting, the first of the file first.
    fn cycles(&self) -> Vec<Vec<usize>> {
        let mut alive = vec![true; self.needs.len()];
        let mut cycles = Vec::new();
        loop {
            self.peel(&mut alive);
            let Some(start) = alive.iter().position(|a| *a) else { return cycles };
            let cycle = self.walk(start, &alive);
            for i in &cycle {
                alive[*i] = false;
            }
            cycles.push(cycle);
        }
    }

    /// Removes, again and again, what needs nothing alive: what is left needs its way into a cycle.
    fn peel(&self, alive: &mut [bool]) {
        let mut missing: Vec<usize> = self.needs.iter().map(|n| n.iter().filter(|i| alive[**i]).count()).collect();
        let mut dependants = vec![Vec::new(); self.needs.len()];
        for (i, needs) in self.needs.iter().enumerate() {
            for n in needs {
                dependants[*n].push(i);
            }
        }
        let mut free: Vec<usize> = (0..alive.len()).filter(|i| alive[*i] && missing[*i] == 0).collect();
        while let Some(i) = free.pop() {
            alive[i] = false;
            for d in &dependants[i] {
                missing[*d] -= 1;
                if missing[*d] == 0 && alive[*d] {
                    free.push(*d);
                }
            }
        }
    }

    /// Follows needs until a step comes again. Every living step needs a living one.
    fn walk(&self, start: usize, alive: &[bool]) -> Vec<usize> {
        let mut path = vec![start];
        let mut position = std::collections::BTreeMap::from([(start, 0)]);
        loop {
            let last = path[path.len() - 1];
            let Some(next) = self.needs[last].iter().copied().find(|n| alive[*n]) else { return path };
            if let Some(from) = position.get(&next) {
                let mut cycle = path.split_off(*from);
                let first = cycle.iter().enumerate().min_by_key(|(_, i)| **i).map_or(0, |(at, _)| at);
                cycle.rotate_left(first);
                return cycle;
            }
            position.insert(next, path.len());
            path.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(needs: &[&[usize]]) -> Vec<Vec<usize>> {
        Order { needs: needs.iter().map(|n| n.to_vec()).collect() }.cycles()
    }

    #[test]
    fn only_the_members_of_a_cycle_are_named() {
        assert_eq!(cycles(&[&[], &[0], &[1]]), Vec::<Vec<usize>>::new());
        // 0 is before the cycle 1 -> 3 -> 2 -> 1, and 4 is behind it.
        assert_eq!(cycles(&[&[], &[0, 3], &[1], &[2], &[3]]), vec![vec![1, 3, 2]]);
        assert_eq!(cycles(&[&[1], &[0], &[3], &[2]]), vec![vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let needs: Vec<Vec<usize>> = (0..200_000_usize).map(|i| i.checked_sub(1).into_iter().collect()).collect();
        assert!(Order { needs }.cycles().is_empty());
    }
}
