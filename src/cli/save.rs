//! `plan -o FILE` and `plan --notices DIR`: what a plan becomes as files, by the file's extension. Knows nothing of how it is made.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::context::Context;
use super::error::CommandError;
use super::letters::{Letter, Letters, hosts_of, letters};
use super::load::Loaded;
use crate::driver::clock;
use crate::plan::inventory::count;
use crate::report::calendar::calendar;
use crate::report::owners;
use crate::report::week::Week;
use crate::report::{PlanPage, WeekPage, plan_document, wave_lines};

/// Columns of a page that is written as text.
const PAGE: usize = 100;

/// What a plan can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// iCalendar.
    Calendar,
    /// One self-contained page.
    Html,
    /// For a wiki.
    Markdown,
    /// The timeline as a picture.
    Svg,
    Json,
    /// What a terminal shows, with every command.
    Text,
}

impl Form {
    /// All forms with their extensions.
    const ALL: [(&'static str, Self); 6] = [
        ("html", Self::Html),
        ("md", Self::Markdown),
        ("svg", Self::Svg),
        ("json", Self::Json),
        ("txt", Self::Text),
        ("ics", Self::Calendar),
    ];

    /// What the name of a file asks for.
    ///
    /// # Errors
    /// When its extension is none of the known ones.
    pub fn of(path: &Path) -> Result<Self, CommandError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let form = Self::ALL.iter().find(|(known, _)| *known == extension).map(|(_, form)| *form);
        form.ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(|(e, _)| format!(".{e}")).collect();
            CommandError::usage(format!("a plan cannot be written as {}", path.display()))
                .hint(format!("the file's name says the form: {}", known.join(", ")))
        })
    }
}

/// Writes the calendar of a plan: an entry per wave, or per owner and wave. Gives what to say about it.
///
/// # Errors
/// When the plan has no times, or the file cannot be written.
pub fn write_calendar(loaded: &Loaded, path: &Path, by_owner: bool) -> Result<String, CommandError> {
    let plan = &loaded.plan;
    let week = Week::of(plan);
    let events = if by_owner { owners::events_by_owner(plan, &week) } else { owners::events(plan, &week) };
    if events.is_empty() {
        return Err(CommandError::usage("the plan has no time: its window opens whenever it is started")
            .hint("a calendar needs `window: {opens, closes}`, or `waves`"));
    }
    write(path, &calendar(&plan.name, &events, clock::now()))?;
    Ok(format!("wrote {}: {}", path.display(), count(events.len(), "event")))
}

/// Writes the page of a dry run. Gives what to say about it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_page(page: &PlanPage<'_>, form: Form, path: &Path) -> Result<String, CommandError> {
    let defect = |e: minijinja::Error| CommandError::unexpected(e.to_string());
    let text = match form {
        Form::Html => page.html().map_err(defect)?,
        Form::Svg => page.svg().map_err(defect)?,
        Form::Markdown => page.markdown(),
        Form::Json => format!("{:#}\n", plan_document(page)),
        Form::Text | Form::Calendar => {
            let page = PlanPage { width: PAGE, commands: true, ..page.clone() };
            page.lines().join("\n") + "\n"
        }
    };
    write(path, &text)?;
    Ok(format!("wrote {}", path.display()))
}

/// Writes the page of a week. Gives what to say about it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_week(page: &WeekPage<'_>, form: Form, path: &Path) -> Result<String, CommandError> {
    let defect = |e: minijinja::Error| CommandError::unexpected(e.to_string());
    let text = match form {
        Form::Html => page.html().map_err(defect)?,
        Form::Svg => page.svg().map_err(defect)?,
        Form::Markdown => page.markdown(),
        Form::Json => format!("{:#}\n", page.document()),
        Form::Text | Form::Calendar => wave_lines(page, PAGE).join("\n") + "\n",
    };
    write(path, &text)?;
    Ok(format!("wrote {}", path.display()))
}

/// Writes one notice per owner into `folder`. Gives what to say about it.
///
/// # Errors
/// Those of [`letters`], or a file cannot be written.
pub fn write_notices(loaded: &Loaded, plan_file: &Path, folder: &Path) -> Result<Vec<String>, CommandError> {
    let Letters { known, unknown } = letters(loaded, plan_file)?;
    fs::create_dir_all(folder).map_err(|e| cannot(folder, &e))?;
    let mut said = Vec::new();
    let mut taken = std::collections::BTreeSet::new();
    for Letter { owner, text } in &known {
        let mut name = file_name(owner.key.as_deref().unwrap_or_default());
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        let path = folder.join(format!("{name}.txt"));
        write(&path, text)?;
        said.push(format!("wrote {}: {} of {}", path.display(), hosts_of(std::slice::from_ref(owner)), owner.name));
    }
    if !unknown.is_empty() {
        said.push(format!("nobody is told of {}: no owner", hosts_of(&unknown)));
    }
    Ok(said)
}

/// An owner's name as the name of a file, wherever it came from.
fn file_name(owner: &str) -> String {
    let fit = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | '.') { c } else { '-' };
    let name: String = owner.chars().take(80).map(fit).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// The new file takes the place of the old one in one step.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|e| cannot(path, &e))
}

fn cannot(path: &Path, e: &std::io::Error) -> CommandError {
    CommandError::unexpected(format!("cannot write {}: {e}", path.display()))
}

/// Says on stderr what was written.
pub fn say(lines: &[String], cx: &Context) {
    if !cx.global.quiet {
        for line in lines {
            // A lost terminal does not undo what was written.
            let _ = writeln!(anstream::stderr(), "{}", crate::report::escape_for_terminal(line));
        }
    }
}
