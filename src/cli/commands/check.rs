//! `runbook check`: every mistake of a plan in one go. No network, no changes (but for `--fix`).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::diagnostics::{Canvas, render, to_json};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::{LoadError, load_knowing};
use crate::cli::review::{Review, review, summary};
use crate::cli::variables::VarArgs;
use crate::cli::{history, output};
use crate::driver::clock;
use crate::plan::diagnostic::{Diagnostic, sort};
use crate::plan::inventory::count;
use crate::plan::model::Value;
use crate::plan::source::Source;
use crate::plan::{fixed, not_executable_yet, short_digest};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  runbook check plans/2007-12-02.yaml\n  runbook check plans/*.yaml --deny warnings\n  \
                  runbook check plan.yaml --fix\n\nExit codes: 0 no errors, 2 errors (or warnings with --deny warnings)"
)]
pub struct Args {
    /// Plans to look at
    #[arg(required = true, value_name = "PLAN")]
    plans: Vec<PathBuf>,
    /// Correct what has one certain correction, in the file
    #[arg(long)]
    fix: bool,
    /// Count warnings as errors
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
    #[command(flatten)]
    vars: VarArgs,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> Option<&Path> {
        self.plans.first().map(PathBuf::as_path)
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Deny {
    Warnings,
}

/// What became of one plan.
struct Verdict {
    source: Source,
    found: Vec<Diagnostic>,
    /// The compiled plan and its digest; `None` when it has errors of its own.
    plan: Option<(Review, String)>,
    /// How many corrections were written.
    fixes: usize,
}

impl Verdict {
    fn errors(&self) -> usize {
        self.found.iter().filter(|d| d.is_error()).count()
    }

    fn warnings(&self) -> usize {
        self.found.len() - self.errors()
    }

    /// A plan that can be executed: without errors, also those of its times.
    fn good(&self) -> Option<&(Review, String)> {
        self.plan.as_ref().filter(|_| self.errors() == 0)
    }
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let Args { plans, fix, deny, vars } = args;
    let vars = vars.values()?;
    let mut failed = false;
    let mut documents = Vec::new();
    for path in &plans {
        let verdict = look(path, &vars, fix, cx)?;
        failed |= verdict.errors() > 0 || (deny.is_some() && verdict.warnings() > 0);
        if cx.global.json {
            documents.push(document(&verdict));
        } else {
            show(&verdict, cx)?;
        }
    }
    if cx.global.json {
        output::json(&json!({ "plans": documents }))?;
    }
    Ok(if failed { Exit::Usage } else { Exit::Done })
}

fn look(path: &Path, vars: &[(String, Value)], fix: bool, cx: &Context) -> Result<Verdict, CommandError> {
    let mut fixes = 0;
    // A correction can bring another finding to light; each round corrects something, so this ends.
    for _ in 0..5 {
        let verdict = once(path, vars, fixes, cx)?;
        let (text, count) = if fix { fixed(verdict.source.text(), &verdict.found) } else { (String::new(), 0) };
        if count == 0 {
            return Ok(verdict);
        }
        write_atomically(path, &text)?;
        fixes += count;
    }
    once(path, vars, fixes, cx)
}

fn once(path: &Path, vars: &[(String, Value)], fixes: usize, cx: &Context) -> Result<Verdict, CommandError> {
    match load_knowing(path, vars, |stem, name| history::learnt(cx, stem, name)) {
        Ok(loaded) => {
            let mut review = review(&loaded.plan, &loaded.places, &loaded.source, clock::now());
            let mut found = loaded.diagnostics;
            found.append(&mut review.found);
            sort(&mut found);
            Ok(Verdict { source: loaded.source, found, plan: Some((review, loaded.digest)), fixes })
        }
        Err(LoadError::Invalid { text, diagnostics }) => {
            Ok(Verdict { source: text, found: diagnostics, plan: None, fixes })
        }
        Err(e) => Err(e.into()),
    }
}

/// The new text takes the place of the old one in one step, with the same permissions.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), CommandError> {
    let cannot = |e: std::io::Error| CommandError::unexpected(format!("cannot write {}: {e}", path.display()));
    let target = fs::canonicalize(path).map_err(cannot)?;
    let mode = fs::metadata(&target).map_err(cannot)?.permissions().mode();
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create_new(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(cannot)
}

fn show(verdict: &Verdict, cx: &Context) -> Result<(), CommandError> {
    let canvas = Canvas::Stream { columns: output::columns(std::io::stdout()) };
    let mut text = render(&verdict.source, &verdict.found, canvas);
    let name = &verdict.source.name;
    if verdict.fixes > 0 {
        text.push_str(&format!("fixed {} in {name}\n", count(verdict.fixes, "place")));
    }
    let counts = |with_errors: bool| {
        let errors = with_errors.then(|| count(verdict.errors(), "error"));
        let warnings = (verdict.warnings() > 0).then(|| count(verdict.warnings(), "warning"));
        errors.into_iter().chain(warnings).collect::<Vec<_>>().join(", ")
    };
    match verdict.good() {
        Some((review, digest)) if !cx.global.quiet => {
            let warnings = counts(false);
            let warnings = if warnings.is_empty() { warnings } else { format!(", {warnings}") };
            text.push_str(&format!("ok {name}: {}{warnings}    digest {}\n", summary(review), short_digest(digest)));
            for reason in not_executable_yet(review.graph.plan()) {
                text.push_str(&format!("   note: {reason}\n"));
            }
        }
        Some(_) => {}
        None => {
            let code = verdict.found.iter().find(|d| d.is_error()).map_or("E021", |d| d.code);
            text.push_str(&format!("{} in {name}        more: `runbook explain {code}`\n", counts(true)));
        }
    }
    output::text(&text).map(|_| ())
}

fn document(verdict: &Verdict) -> serde_json::Value {
    let plan = verdict.plan.as_ref().map(|(review, _)| review.graph.plan());
    json!({
        "plan": verdict.source.name,
        "ok": verdict.errors() == 0,
        "errors": verdict.errors(),
        "warnings": verdict.warnings(),
        "fixed": verdict.fixes,
        "digest": verdict.plan.as_ref().map(|(_, digest)| digest),
        "steps": plan.map(|p| p.steps.len()),
        "hosts": plan.map(|p| p.hosts.len()),
        "not_executable_yet": plan.map(|p| not_executable_yet(p)),
        "diagnostics": verdict.found.iter().map(|d| to_json(&verdict.source, d)).collect::<Vec<_>>(),
    })
}
