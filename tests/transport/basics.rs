//! One attempt on a host and here: claim, output, outcome.

use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Event, Transport};

use super::bed::{Bed, attempt, h1, shell};
use crate::harness::sshd::{Options, Sshd};

#[tokio::test]
async fn a_command_succeeds_here_and_there() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let mut job = shell("build", &site, "echo to out; echo to err >&2; echo version=$V >\"$RUNBOOK_OUTPUT\"");
        job.env.insert("V".into(), "it's $HOME\n".into());
        job.outputs = vec!["version".into()];
        bed.launch(job);
        assert_eq!(bed.next().await.what, Event::Launched, "{site:?}");
        let (outcome, evidence) = bed.end().await;
        assert_eq!(outcome, Outcome::Succeeded, "{site:?}");
        assert_eq!(evidence.tail, ["to err"]);
        assert_eq!(evidence.lines, 2);
        assert_eq!(evidence.outputs["version"], "it's $HOME");
        assert!(evidence.took.is_some());
        let log = bed.log(&attempt("build", &site, 1));
        assert!(log.starts_with("--- build/") && log.contains("to out\n") && log.contains("to err\n"), "{log}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn every_way_to_end_has_its_outcome() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        for (n, (text, outcome)) in [
            ("exit 7", Outcome::Failed { exit: 7 }),
            ("exit 137", Outcome::Failed { exit: 137 }),
            ("exit 255", Outcome::Failed { exit: 255 }),
            ("nosuchcommand", Outcome::Failed { exit: 127 }),
            ("kill -9 $$", Outcome::Killed { signal: 9 }),
            ("kill -15 $$", Outcome::Killed { signal: 15 }),
            ("false; echo not reached", Outcome::Failed { exit: 1 }),
        ]
        .into_iter()
        .enumerate()
        {
            let (seen, _) = bed.run(shell(&format!("s{n}"), &site, text)).await;
            assert_eq!(seen, outcome, "{text} at {site:?}");
        }
        bed.hosts.close().await.unwrap();
    }
}
