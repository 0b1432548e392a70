//! Resolves references to secrets on this machine. Values live in zeroising types and go nowhere but into a request.

use std::path::Path;

use secrecy::SecretString;

use super::mask::SHORTEST;
use crate::plan::model::SecretRef;

/// The value a reference points to, without the line break at its end.
///
/// # Errors
/// Why there is none; never the value itself.
pub(super) async fn resolve(reference: &SecretRef, plan_dir: &Path) -> Result<SecretString, String> {
    let (name, value) = match reference {
        SecretRef::Env(name) => (
            name,
            std::env::var(name).map_err(|_| format!("the environment variable {name} of the secret is not set"))?,
        ),
        SecretRef::File(path) => {
            let text = tokio::fs::read_to_string(plan_dir.join(path)).await;
            (path, text.map_err(|e| format!("the secret's file {path} cannot be read: {e}"))?)
        }
        SecretRef::Command(command) => (command, printed_by(command, plan_dir).await?),
    };
    let value = value.strip_suffix('\n').unwrap_or(&value);
    if value.len() < SHORTEST {
        return Err(format!(
            "the secret from {name} is shorter than {SHORTEST} characters, so output could not hide it"
        ));
    }
    if value.contains('\0') {
        return Err(format!("the secret from {name} holds a NUL byte"));
    }
    Ok(SecretString::from(value.to_owned()))
}

/// Why references have no usable value here; one sentence each.
pub async fn unresolved(references: &[SecretRef], plan_dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for reference in references {
        out.extend(resolve(reference, plan_dir).await.err());
    }
    out
}

async fn printed_by(command: &str, dir: &Path) -> Result<String, String> {
    let failed = |why: String| format!("the secret's command `{command}` failed: {why}");
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .output()
        .await
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("its output is not text".into()))
}
