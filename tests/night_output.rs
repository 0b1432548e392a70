//! What hosts print never acts on a terminal: hostile output of a real step, through the live view of a pseudo-terminal,
//! through plain lines, and through `runbook logs`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Prints everything to stdout and to stderr, stays a moment so that its last words are seen, then fails.
const PLAN: &str = "runbook: 1
name: Hostile
hosts: {app: [app1]}
steps:
  shout:
    hosts: app
    test: |
      cat ../../../hostile
      cat ../../../hostile >&2
      sleep 1.5
      exit 1
    estimate: 1m
";

/// 60 and more: each has power over some terminal, or pretends to be what it is not.
fn hostile() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    // Cursor, erasing, scrolling, modes, reports, resets.
    let csi =
        ["2J", "H", "1;1H", "10A", "5B", "3J", "K", "1K", "2K", "L", "M", "10S", "10T", "?1049h", "?25l", "?1000h"];
    let more =
        ["?2004h", "6n", "c", ">c", "5n", "21t", "8;5;5t", "2;9r", "!p", "?5h", "4h", "20h", "s", "u", "10G", "5X"];
    for end in csi.iter().chain(&more) {
        all.push(format!("\x1b[{end}").into_bytes());
    }
    // Titles, links, the clipboard, notifications, colours, files.
    let osc =
        ["0;owned", "2;owned", "8;;http://evil/", "52;c;ZXZpbA==", "9;evil", "777;notify;a;b", "4;1;#000", "10;#000"];
    for text in osc.iter().chain(&["11;#000", "104", "1337;File=name=eA==:eA==", "50;x"]) {
        all.push(format!("\x1b]{text}\x07").into_bytes());
        all.push(format!("\x1b]{text}\x1b\\").into_bytes());
    }
    for text in [
        "\x1bc",
        "\x1b7",
        "\x1b8",
        "\x1bM",
        "\x1b#8",
        "\x1bP+q544e\x1b\\",
        "\x1b_x\x1b\\",
        "\x1b^x\x1b\\",
        "\x1b(0",
        "\x1bN",
    ] {
        all.push(text.as_bytes().to_vec());
    }
    // The same in one byte or two, bare controls, what turns text around or hides it.
    for bytes in [
        &b"\x9b2J"[..],
        b"\xc2\x9b2J",
        b"\xc2\x9d0;owned\x07",
        b"\x07",
        b"\x08\x08\x08",
        b"\x0b\x0c",
        b"\x0e",
        b"\x00",
        b"\x7f",
    ] {
        all.push(bytes.to_vec());
    }
    for text in ["\u{202e}evil", "\u{2066}evil", "\u{200b}evil", "\u{feff}evil", "\u{2028}evil", "\u{e0041}evil"] {
        all.push(text.as_bytes().to_vec());
    }
    all.push(b"\rSUCCESS       Hostile   done".to_vec());
    all
}

/// A folder with the plan, and with a lab that finds the hostile file three folders above its host's.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("rbh").tempdir_in("/tmp").unwrap();
    fs::write(folder.path().join("hostile.yaml"), PLAN).unwrap();
    let mut lines = Vec::new();
    for sequence in hostile() {
        lines.extend_from_slice(b"x");
        lines.extend_from_slice(&sequence);
        lines.extend_from_slice(b"y\n");
    }
    fs::write(folder.path().join("hostile"), lines).unwrap();
    folder
}

fn command_line(folder: &Path) -> String {
    let (program, store) = (env!("CARGO_BIN_EXE_runbook"), folder.join("store"));
    format!("{program} --store {}", store.display())
}

/// What the words print on a pseudo-terminal.
fn on_a_terminal(folder: &Path, words: &str) -> Vec<u8> {
    let kept = folder.join("typescript");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty cols 100 rows 40; {} {words}", command_line(folder))]).arg(&kept);
    command.current_dir(folder).env("TMPDIR", folder).env("TERM", "xterm-256color").env_remove("XDG_RUNTIME_DIR");
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let all = fs::read(&kept).unwrap();
    // The recorder's own first and last lines.
    let text = all.split(|b| *b == b'\n').filter(|l| !l.starts_with(b"Script ")).collect::<Vec<_>>();
    text.join(&b"\n"[..])
}

/// What is left when the sequences that the live view itself needs are taken away.
fn without_our_own(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("nothing but UTF-8 reaches a terminal");
    let ours = regex_lite::Regex::new(concat!(
        "\u{1b}\\[[0-9;]*m",                // colours
        "|\u{1b}\\[\\?2026[hl]",            // one update at a time
        "|\r(\u{1b}\\[[0-9]+A)?\u{1b}\\[J", // back to the top of the area
        "|\u{1b}\\]2;[ -~]*\u{7}",          // the title
        "|\u{7}",                           // the bell
    ));
    let left = ours.unwrap().replace_all(&text, "").into_owned();
    regex_lite::Regex::new("\r+\n|\r$").unwrap().replace_all(&left, "\n").into_owned()
}

fn powerless(what: &str, shown: &str) {
    let bad =
        |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}".contains(*c);
    let found: Vec<String> = shown.lines().filter(|l| l.chars().any(|c| bad(&c))).map(|l| format!("{l:?}")).collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn hostile_output_never_acts_in_any_view() {
    assert!(hostile().len() >= 60, "{}", hostile().len());
    let folder = folder();
    let dir = folder.path();
    let live = on_a_terminal(dir, "exec hostile.yaml --lab");
    let titles = String::from_utf8_lossy(&live).matches("owned\u{7}").count();
    assert_eq!(titles, 0, "no title but ours");
    let shown = without_our_own(&live);
    assert!(shown.contains("FAILED"), "the live view was there:\n{shown}");
    assert!(shown.contains("\\u{e0041}evil"), "the last lines are shown, as text:\n{shown}");
    powerless("the live view", &shown);
    assert!(!shown.lines().any(|l| l.starts_with("SUCCESS")), "{shown}");

    let logs = without_our_own(&on_a_terminal(dir, "logs shout app1"));
    assert!(logs.contains("\\e[2J") && logs.contains("\\x9b"), "{logs}");
    powerless("logs on a terminal", &logs);

    let mut lines = Command::new("sh");
    lines.args(["-c", &format!("{} exec hostile.yaml --lab 2>&1 | cat", command_line(dir))]);
    lines.current_dir(dir).env("TMPDIR", dir).env_remove("XDG_RUNTIME_DIR");
    let plain = lines.stdin(Stdio::null()).output().unwrap().stdout;
    let plain = String::from_utf8(plain).expect("plain lines are UTF-8");
    assert!(plain.contains("FAILED  shout on app1"), "{plain}");
    powerless("plain lines", &plain);
}
