//! The keeper of this machine: what it starts outlives its controller and itself, and is found by its record.

use std::path::Path;

use jiff::SignedDuration;
use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Event, Transport};

use super::bed::{Bed, appears, attempt, shell};
use super::records::{alive_with, mark, stubborn_tree};
use crate::harness::sshd::kill;

const SITE: Site = Site::Controller;

/// The pid that stands first in a file of the record.
fn pid_in(file: &Path) -> u32 {
    std::fs::read_to_string(file).unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn one_keeper_starts_all_and_each_leads_a_session() {
    let mut bed = Bed::new(None);
    let (outcome, evidence) =
        bed.run(shell("a", &SITE, "read -r stat </proc/self/stat; echo $$ ${stat#*) }; trap '' 0")).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let words: Vec<&str> = evidence.tail[0].split(' ').collect();
    assert_eq!((words[0], words[0]), (words[3], words[4]), "its group and session are its own");
    assert_eq!(bed.run(shell("b", &SITE, "exit 3")).await.0, Outcome::Failed { exit: 3 });
    let keeper = |step| pid_in(&bed.record(&SITE, &attempt(step, &SITE, 1)).join("sup"));
    assert_eq!(name_of(keeper("a")), "runbook");
    assert_eq!(keeper("a"), keeper("b"));
}

#[tokio::test]
async fn the_limit_holds_without_a_controller_and_the_keeper_goes_then() {
    let (mut bed, mark) = (Bed::new(None), mark(8));
    let ready = bed.dir.path().join("ready");
    let mut job = shell("tree", &SITE, &stubborn_tree(mark, &ready));
    job.timeout = Some(SignedDuration::from_secs(1));
    bed.launch(job);
    assert_eq!(bed.until(|_| true).await, Event::Launched);
    appears(&ready).await;
    let id = attempt("tree", &SITE, 1);
    let keeper = pid_in(&bed.record(&SITE, &id).join("sup"));
    bed.hosts.close().await.unwrap();
    appears(&bed.record(&SITE, &id).join("rc")).await;
    assert_eq!(alive_with(&mark.to_string()), [""; 0]);
    let mut other = bed.second(|c| c.keeper = None);
    other.probe(SITE, &id);
    assert_eq!(other.end().await.0, Outcome::TimedOut);
    let gone = async {
        while name_of(keeper) == "runbook" && !is_zombie(keeper) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::bed::PATIENCE, gone).await.expect("an idle keeper ends");
}

fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn a_killed_keeper_loses_no_process() {
    let mut bed = Bed::new(None);
    let ready = bed.dir.path().join("ready");
    bed.launch(shell("long", &SITE, &format!(": > {}; exec sleep {}", ready.display(), mark(9))));
    assert_eq!(bed.until(|_| true).await, Event::Launched);
    appears(&ready).await;
    let record = bed.record(&SITE, &attempt("long", &SITE, 1));
    kill(pid_in(&record.join("sup")));
    // The connection is gone, the process is not, and its record says which one it is.
    assert!(matches!(bed.until(|_| true).await, Event::LinkLost { .. }));
    assert_eq!(bed.until(|_| true).await, Event::LinkRestored);
    // Another keeper takes its place.
    let mut other = bed.second(|_| {});
    assert_eq!(other.run(shell("next", &SITE, ":")).await.0, Outcome::Succeeded);
    bed.launch(shell("again", &SITE, "exit 5"));
    assert_eq!(bed.end().await.0, Outcome::Failed { exit: 5 });
    kill(pid_in(&record.join("pid")));
    assert_eq!(bed.end().await.0, Outcome::Interrupted);
}

#[tokio::test]
async fn what_the_keeper_runs_can_be_killed_by_anybody() {
    let (mut bed, mark) = (Bed::new(None), mark(10));
    let ready = bed.dir.path().join("ready");
    bed.launch(shell("tree", &SITE, &stubborn_tree(mark, &ready)));
    assert_eq!(bed.until(|_| true).await, Event::Launched);
    appears(&ready).await;
    let id = attempt("tree", &SITE, 1);
    kill(pid_in(&bed.record(&SITE, &id).join("sup")));
    let mut other = bed.second(|_| {});
    other.kill(SITE, &id);
    assert_eq!(other.end().await.0, Outcome::Cancelled);
    assert_eq!(alive_with(&mark.to_string()), [""; 0]);
}

#[tokio::test]
async fn commands_of_this_machine_start_in_the_folder_of_the_plan() {
    for keeper in [true, false] {
        let mut bed = Bed::with(None, |c| {
            if !keeper {
                c.keeper = None;
            }
        });
        let plan = bed.config.plan_dir.clone();
        std::fs::create_dir(plan.join("sub")).unwrap();
        std::fs::write(plan.join("quiet.sh"), "echo quiet in $PWD\n").unwrap();
        let (outcome, evidence) = bed.run(shell("a", &SITE, "sh ./quiet.sh")).await;
        assert_eq!((outcome, evidence.tail), (Outcome::Succeeded, vec![format!("quiet in {}", plan.display())]));
        for (step, dir, seen) in [("b", "sub", plan.join("sub")), ("c", "/", "/".into())] {
            let mut job = shell(step, &SITE, "pwd");
            job.dir = Some(dir.into());
            let (outcome, evidence) = bed.run(job).await;
            assert_eq!((outcome, evidence.tail), (Outcome::Succeeded, vec![seen.display().to_string()]));
        }
        let mut job = shell("d", &SITE, ":");
        job.dir = Some("nowhere".into());
        assert_eq!(bed.run(job).await.0, Outcome::Failed { exit: 126 });
    }
}
