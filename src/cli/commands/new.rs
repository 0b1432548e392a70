//! `runbook new`: a small commented plan to start from, or a copy of an existing one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  runbook new plans/2026-11-28.yaml\n  runbook new plans/2026-12-05.yaml --from plans/2026-11-28.yaml"
)]
pub struct Args {
    /// The file to write; it must not exist yet
    #[arg(value_name = "NAME.yaml")]
    file: PathBuf,
    /// Start from this plan instead of the example
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Three steps that can be run at once, on this machine.
pub const EXAMPLE: &str = include_str!("new.example.yaml");

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let file = with_extension(args.file);
    let text = match &args.from {
        Some(from) => {
            fs::read_to_string(from).map_err(|e| CommandError::usage(format!("cannot read {}: {e}", from.display())))?
        }
        None => EXAMPLE.to_string(),
    };
    create(&file, &text)?;
    if cx.global.json {
        return output::json(&serde_json::json!({ "written": file }));
    }
    let name = file.display();
    output::text(&format!(
        "written: {name}\n  runbook check {name}    finds mistakes\n  runbook plan {name}     shows what would happen, and when\n"
    ))
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
