//! STORIES S4: a protocol changes in three roll-outs, each a plan that comes after the one before it. Played in the lab, where
//! messages are really written and read meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PLANS: [&str; 3] = ["protocol-1-add", "protocol-2-use", "protocol-3-remove"];

/// A copy of the repository's plans, and a store.
struct Chain {
    folder: tempfile::TempDir,
}

impl Chain {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rbp").tempdir_in("/tmp").unwrap();
        let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
        let copied = Command::new("cp").arg("-a").arg(plans).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("plans").join(name)
    }

    /// Replaces a piece of a file that is there once.
    fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old} in {text}");
        fs::write(self.file(name), text.replace(old, new)).unwrap();
    }

    fn runbook(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.arg("--store").arg(self.folder.path().join("store")).arg("--no-input").args(words);
        command.env("TMPDIR", self.folder.path()).env_remove("XDG_RUNTIME_DIR").current_dir(self.folder.path());
        let out = command.stdin(Stdio::null()).output().unwrap();
        (out.status.code(), [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    }

    fn exec(&self, plan: &str) -> (Option<i32>, String) {
        self.runbook(&["exec", &format!("plans/{plan}.yaml"), "--lab", "--keep", "--transport", "native"])
    }

    fn refused(&self, plan: &str, words: &[&str]) {
        let (code, said) = self.exec(plan);
        assert_eq!(code, Some(3), "{said}");
        assert!(words.iter().all(|w| said.contains(w)), "{words:?} in:\n{said}");
        assert!(!said.contains("RUN "), "nothing was begun:\n{said}");
    }

    fn done(&self, plan: &str) -> String {
        let (code, said) = self.exec(plan);
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// What the readers of the last lab understood and what they did not; forgets that lab.
    fn read(&self) -> (String, String) {
        let labs = fs::read_dir(self.folder.path()).unwrap().flatten().map(|e| e.path());
        let mut labs = labs.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("runbook-lab-"));
        let lab = labs.next().expect("a lab that was kept");
        let all = |name: &str| {
            let of = |n| fs::read_to_string(lab.join(format!("h/import{n}/{name}"))).unwrap_or_default();
            (1..=4).map(of).collect::<String>()
        };
        let read = (all("understood"), all("not-understood"));
        fs::remove_dir_all(&lab).unwrap();
        read
    }
}

#[test]
fn a_protocol_changes_in_three_roll_outs_in_their_order() {
    let chain = Chain::new();
    chain.refused(
        PLANS[1],
        &[
            "protocol-2-use comes after protocol-1-add, which has not been executed in this store",
            "run it first:   runbook exec plans/protocol-1-add.yaml --lab",
        ],
    );
    let (mut formats, mut said) = (Vec::new(), String::new());
    for plan in PLANS {
        said = chain.done(plan);
        let (understood, not_understood) = chain.read();
        assert_eq!(not_understood, "", "{plan}:\n{said}");
        formats.push(["format1 ", "format2 "].map(|format| understood.contains(format)));
    }
    assert_eq!(formats, [[true, false], [true, true], [false, true]], "the second one is where the format changes");
    assert!(said.contains("after protocol-2-use: protocol-2-use-a done"), "{said}");
}

#[test]
fn a_roll_out_that_was_another_one_than_the_next_one_was_written_for_does_not_count() {
    let chain = Chain::new();
    chain.edit("protocol-1-add.yaml", "REV: \"11201\"", "REV: \"11202\"");
    chain.done(PLANS[0]);
    chain.refused(
        PLANS[1],
        &[
            "but its last run protocol-1-add-a had the digest ",
            "it was another version",
            "runbook report protocol-1-add-a",
            "after: {plan: protocol-1-add, digest: ",
        ],
    );
    let (code, said) = chain.runbook(&["exec", "plans/protocol-2-use.yaml", "--rehearse", "--speed", "10000"]);
    assert_eq!(code, Some(3), "what the lab did counts in a rehearsal:\n{said}");
    let (code, said) = chain.runbook(&["exec", "plans/protocol-2-use.yaml", "--confirm", "protocol-2-use"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("which has not been executed in this store"), "the lab is not the world:\n{said}");
}

/// What the order of the three protects from, and that the lab would show it.
#[test]
fn a_chain_without_its_first_roll_out_meets_messages_that_nobody_understands() {
    let chain = Chain::new();
    let text = fs::read_to_string(chain.file("protocol-2-use.yaml")).unwrap();
    let unchained: Vec<&str> = text.lines().filter(|line| !line.starts_with("after:")).collect();
    fs::write(chain.file("protocol-2-use.yaml"), unchained.join("\n")).unwrap();
    // The writers first, and readers that know the old format only.
    chain.edit("protocol-2-use.yaml", "hosts: [reader, writer]", "hosts: writer");
    chain.edit("protocol-2-use.lab/setup", "rev switch 11201", "rev switch 11168");
    let (code, said) = chain.exec(PLANS[1]);
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("FAIL   understood"), "{said}");
    assert!(chain.read().1.contains("format2 by 11168"), "{said}");
}
