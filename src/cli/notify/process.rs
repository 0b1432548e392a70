//! A program of this machine that is given a message on stdin. It lives no longer than somebody waits for it.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Executes it with `text` on its stdin; what it prints goes where our own output goes. With this future, everything ends that
/// it has started.
///
/// # Errors
/// When it cannot be started, or does not end with status 0.
pub async fn feed(mut program: Command, text: String) -> Result<(), String> {
    program.stdin(std::process::Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = program.spawn().map_err(|e| format!("it cannot be started: {e}"))?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever does not read its message may have done its work all the same: the status tells.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let status = child.wait().await.map_err(|e| e.to_string())?;
    group.0 = None;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// A group of processes that ends with its owner.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // One that is gone already needs no end.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    fn shell(text: &str, dir: &Path) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(text).current_dir(dir);
        command
    }

    async fn until(holds: impl Fn() -> bool) {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn the_status_tells_and_the_message_is_on_stdin() {
        let dir = tempfile::tempdir().unwrap();
        feed(shell("cat > got", dir.path()), "Grüße\n".into()).await.unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("got")).unwrap(), "Grüße\n");
        feed(shell("exec 0<&-", dir.path()), "nobody reads it".repeat(100_000)).await.unwrap();
        let why = feed(shell("exit 3", dir.path()), String::new()).await.unwrap_err();
        assert!(why.contains('3'), "{why}");
        let why = feed(Command::new("/nonexistent/sendmail"), String::new()).await.unwrap_err();
        assert!(why.starts_with("it cannot be started: "), "{why}");
    }

    #[tokio::test]
    async fn nothing_of_a_program_that_hangs_outlives_whoever_waits() {
        let dir = tempfile::tempdir().unwrap();
        let text = "sleep 1000 & echo $! > pid.new; mv pid.new pid; wait";
        let begun = dir.path().join("pid");
        tokio::select! {
            said = feed(shell(text, dir.path()), String::new()) => panic!("{said:?}"),
            () = until(|| begun.exists()) => {}
        }
        let pid = std::fs::read_to_string(&begun).unwrap();
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        // A zombie whose parent does not look after it has ended as well.
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        tokio::time::timeout(Duration::from_secs(30), until(gone)).await.unwrap();
    }
}
