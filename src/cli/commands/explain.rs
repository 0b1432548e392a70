//! `runbook explain`: what a code such as E021 means.

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::plan::codes;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  runbook explain E021\n  runbook explain          (lists all codes)")]
pub struct Args {
    /// A code of `check` or `plan`; all of them where none is given
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let Some(wanted) = args.code else {
        return list(cx);
    };
    let code = codes::find(&wanted).ok_or_else(|| unknown(&wanted))?;
    if cx.global.json {
        return output::json(&serde_json::json!({ "code": code.code, "title": code.title, "text": code.text }));
    }
    output::text(&format!("{}: {}\n\n{}\n", code.code, code.title, wrapped(code.text)))
}

/// Prose in lines of at most 100 characters; indented lines are examples and stay as they are.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    for paragraph in text.split("\n\n") {
        if paragraph.starts_with(' ') {
            out.push_str(paragraph);
        } else {
            let mut width = 0;
            for word in paragraph.split_whitespace() {
                if width > 0 && width + 1 + word.chars().count() > 100 {
                    out.push('\n');
                    width = 0;
                } else if width > 0 {
                    out.push(' ');
                    width += 1;
                }
                out.push_str(word);
                width += word.chars().count();
            }
        }
        out.push_str("\n\n");
    }
    out.trim_end().to_string()
}

fn list(cx: &Context) -> Result<Exit, CommandError> {
    if cx.global.json {
        let all = codes::ALL.iter().map(|c| serde_json::json!({ "code": c.code, "title": c.title }));
        return output::json(&all.collect());
    }
    let lines = codes::ALL.iter().map(|c| format!("{}  {}\n", c.code, c.title));
    output::text(&lines.collect::<String>())
}

fn unknown(wanted: &str) -> CommandError {
    let e = CommandError::usage(format!("unknown code {}", crate::plan::diagnostic::Quoted(wanted)));
    let upper = wanted.to_uppercase();
    match crate::plan::nearest(&upper, codes::ALL.iter().map(|c| c.code)) {
        Some(near) => e.hint(format!("did you mean {near}?")).hint("`runbook explain` lists all codes"),
        None => e.hint("`runbook explain` lists all codes"),
    }
}
