//! `runbook new`: a small commented plan to start from, or a copy of an existing one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::plan::plan_from;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  runbook new plans/2026-11-28.yaml\n  runbook new plans/2026-12-05.yaml --from plans/2026-11-28.yaml\n  runbook new project.yaml --from j301_1.sm"
)]
pub struct Args {
    /// The file to write; it must not exist yet
    #[arg(value_name = "NAME.yaml")]
    file: PathBuf,
    /// Start from this plan, or from a project file (`.sm`), instead of the example
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Three steps that can be run at once, on this machine.
pub const EXAMPLE: &str = include_str!("new.example.yaml");

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let file = with_extension(args.file);
    let text = args.from.as_deref().map_or_else(|| Ok(EXAMPLE.to_string()), start_from)?;
    create(&file, &text)?;
    if cx.global.json {
        return output::json(&serde_json::json!({ "written": file }));
    }
    let name = file.display();
    output::text(&format!(
        "written: {name}\n  runbook check {name}    finds mistakes\n  runbook plan {name}     shows what would happen, and when\n"
    ))
}

/// The text of another plan, or of a project file as a plan.
fn start_from(from: &Path) -> Result<String, CommandError> {
    let shown = from.display();
    let text = fs::read_to_string(from).map_err(|e| CommandError::usage(format!("cannot read {shown}: {e}")))?;
    if from.extension().is_none_or(|e| e != "sm") {
        return Ok(text);
    }
    let name = from.file_stem().unwrap_or_default().to_string_lossy();
    plan_from(&name, &text).map_err(|why| CommandError::usage(format!("{shown}: {why}")))
}

fn with_extension(file: PathBuf) -> PathBuf {
    if file.extension().is_some() { file } else { file.with_extension("yaml") }
}

/// Writes a new file completely or not at all, and never over another one.
fn create(file: &Path, text: &str) -> Result<(), CommandError> {
    let cannot = |e: std::io::Error| CommandError::usage(format!("cannot write {}: {e}", file.display()));
    if fs::symlink_metadata(file).is_ok() {
        return Err(CommandError::refused(format!("{} exists already", file.display()))
            .hint("choose another name; nothing was changed"));
    }
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(cannot)?;
    let name =
        file.file_name().ok_or_else(|| CommandError::usage(format!("{} is no name for a file", file.display())))?;
    let temporary = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = fs::File::create_new(&temporary).and_then(|mut out| {
        out.write_all(text.as_bytes())?;
        out.set_permissions(fs::Permissions::from_mode(0o644))?;
        out.sync_all()?;
        // A link, not a rename: it fails where somebody else has written the file meanwhile.
        fs::hard_link(&temporary, file)
    });
    let _ = fs::remove_file(&temporary);
    written.map_err(cannot)
}
