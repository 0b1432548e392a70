//! The page of a dry run as one self-contained file: no script, no request. Says what the text says, and every command
//! behind a fold.

use minijinja::value::Serde;
use minijinja::{Value, context};

use super::PlanPage;
use super::commands::{as_whom, shown, sites};
use super::{place, short};
use crate::graph::StepIx;
use crate::graph::danger::danger;
use crate::graph::preview::{Preview, previews};
use crate::plan::model::Step;
use crate::report::clock::Clock;
use crate::report::drill_page::{HOW, KEY};
use crate::report::escape::{escape_for_terminal as esc, escape_text};
use crate::report::{DrillPage, odds, pages};

impl PlanPage<'_> {
    /// The page.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn html(&self) -> Result<String, minijinja::Error> {
        let plan = self.graph.plan();
        let clock = Clock::new(plan.timezone.as_deref());
        let figures = self.figures(&clock).into_iter();
        let figures =
            figures.map(|f| context! { name => f.name, value => f.value, note => f.note, at_worst => f.at_worst });
        let ends = self.ends().into_iter();
        let ends = ends.map(|(ix, why, only)| context! { step => esc(&self.graph.step(ix).id), why, only });
        let critical: Vec<String> = self.fit.longest_path.iter().map(|s| (s.0 + 1).to_string()).collect();
        let vars = plan.vars.iter().map(|(name, value)| format!("{}={}", esc(name), shown(value)));
        let probe = self.probe.map(|p| {
            let lines = p.lines.iter().map(|(verdict, text)| (verdict.clone(), esc(text)));
            context! { at => clock.hm_near(p.at, p.at), lines => lines.collect::<Vec<_>>() }
        });
        let drill = self.drill_page().map(|drill| {
            let titles = DrillPage::titles();
            context! { how => HOW.join(" "), key => KEY.join("; "), titles, rows => Serde(drill.rows()), bad => Serde(drill.bad()), summary => drill.summary() }
        });
        let content = context! {
            title => esc(&plan.name),
            day => self.day(&clock),
            file => esc(self.file),
            digest => self.short_digest(),
            figures => figures.collect::<Vec<_>>(),
            counts => self.counts(),
            limits => self.limits(),
            errors => self.findings_where(|code| code.starts_with('E')),
            warnings => self.findings_where(|code| !code.starts_with('E')),
            charts => Serde(self.chart(&clock).on_screens()),
            graph => Serde(self.graph_chart()),
            steps => self.step_rows(&clock),
            critical => critical.join(" "),
            others => self.odds.and_then(|odds| odds::also_decide(odds, &self.fit.longest_path)),
            vars => vars.collect::<Vec<_>>(),
            triggers => self.triggers(&clock),
            rollbacks => self.rollback_rows(&clock),
            afterwards => self.afterwards(),
            ends => ends.collect::<Vec<_>>(),
            drill,
            probe,
            people => self.asked(&clock),
            exec => esc(self.exec),
        };
        pages::page("plan.html", &content)
    }

    /// What must be over before, and what is left out.
    fn limits(&self) -> Vec<String> {
        let after = self.after_texts();
        let after = (!after.is_empty()).then(|| format!("Only after {}", esc(&after.join(", "))));
        let left_out = (!self.left_out.is_empty()).then(|| format!("Left out: {}", esc(&self.left_out.join(", "))));
        after.into_iter().chain(left_out).collect()
    }

    fn findings_where(&self, which: fn(&str) -> bool) -> Vec<(String, String)> {
        self.told(which).into_iter().map(|(code, text)| (code.to_owned(), esc(&text))).collect()
    }

    fn step_rows(&self, clock: &Clock) -> Vec<Value> {
        let texts = previews(self.graph);
        self.graph.step_ixs().zip(texts).map(|(ix, texts)| self.step_row(ix, &texts, clock)).collect()
    }

    fn step_row(&self, ix: StepIx, texts: &[Preview], clock: &Clock) -> Value {
        let step: &Step = self.graph.step(ix);
        let times = self.expected[ix.index()];
        let commands = texts.iter().map(|text| {
            context! { what => text.what, on => sites(&text.sites), text => escape_text(&text.text), notes => notes(text) }
        });
        let mut alarms: Vec<&str> = texts.iter().filter_map(|text| danger(&text.text)).collect();
        alarms.dedup();
        context! {
            number => ix.0 + 1,
            id => esc(&step.id),
            start => times.map_or("skip".to_owned(), |t| clock.hm(t.start)),
            end => times.map(|t| clock.hm(t.end)),
            estimate => step.estimate.map_or("-".to_owned(), |e| e.to_string()),
            slack => self.slack_of(ix),
            place => esc(&place(self.graph, ix)),
            what => esc(&self.what(step)),
            no_way_back => self.graph.ends_the_way_back(ix),
            critical => self.fit.longest_path.contains(&ix),
            as_whom => as_whom(step),
            commands => commands.collect::<Vec<_>>(),
            alarms => alarms.into_iter().map(|why| format!("look twice: {why}")).collect::<Vec<_>>(),
        }
    }

    fn rollback_rows(&self, clock: &Clock) -> Vec<Value> {
        let rows = self.rollback.rows.iter().enumerate();
        let rows = rows.map(|(i, row)| {
            context! {
                fails => self.rollback.fails_in_text(self.graph, i),
                up => short(row.up_again_after),
                latest => row.latest_start.map_or("-".to_owned(), |d| clock.hm_near(self.at(d), self.opens)),
                undoes => self.rollback.undoes_text(self.graph, i),
            }
        });
        rows.collect()
    }
}

/// What is unusual about a text.
fn notes(text: &Preview) -> Vec<String> {
    let unquoted = text.unquoted.iter().map(|what| format!("not quoted: {{{{ {} }}}}", esc(what)));
    let unknown = text.unknown.iter().map(|why| format!("as the plan writes it: {}", esc(why)));
    unquoted.chain(unknown).collect()
}
