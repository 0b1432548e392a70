//! Plans for the tests of everything that works on graphs, built by hand so that no reader of YAML is needed.

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};

use super::Graph;
use crate::plan::model::*;
use crate::plan::units::Estimate;

/// `20m-30m` in minutes.
pub(crate) fn minutes(expected: i64, worst: i64) -> Estimate {
    Estimate { expected: SignedDuration::from_mins(expected), worst: SignedDuration::from_mins(worst) }
}

/// A step that does nothing yet.
pub(crate) fn step(id: &str, needs: &[&str], hosts: &[&str], verb: Verb) -> Step {
    let place = match (hosts, &verb) {
        ([], Verb::Gate | Verb::Wait(Wait::For(_) | Wait::At(_))) => Place::Nowhere,
        ([] | ["local"], _) => Place::Controller,
        (hosts, _) => Place::Hosts(hosts.iter().map(|h| (*h).to_owned()).collect()),
    };
    let on_failure = match verb {
        Verb::Test(_) | Verb::Http(_) | Verb::Gate => OnFailure::Rollback,
        _ => OnFailure::Ask,
    };
    Step {
        id: id.into(),
        line: 0,
        needs: needs.iter().map(|n| Need { step: (*n).into(), same_host: false }).collect(),
        place,
        when: None,
        verb,
        gate: None,
        undo: Undo::Nothing,
        estimate: None,
        timeout: None,
        expect: None,
        retry: Retry::default(),
        idempotent: false,
        atomic: false,
        verify: None,
        outputs: Vec::new(),
        on_failure,
        on_stop: OnStop::Finish,
        uses: IndexMap::new(),
        hold: None,
        shell: Shell::default(),
        fleet: Fleet::default(),
        say: None,
        warn: None,
        downtime: None,
        baseline: false,
        inconclusive: Vec::new(),
        opens: None,
        tags: Vec::new(),
    }
}

pub(crate) fn run(id: &str, needs: &[&str], hosts: &[&str], text: &str) -> Step {
    Step { undo: Undo::ReadOnly, ..step(id, needs, hosts, Verb::Run(text.into())) }
}

pub(crate) fn test(id: &str, needs: &[&str], hosts: &[&str], text: &str) -> Step {
    step(id, needs, hosts, Verb::Test(text.into()))
}

pub(crate) fn gate(id: &str, needs: &[&str], question: &str, who: &[&str]) -> Step {
    step(id, needs, &[], Verb::Gate).asking(question, who)
}

impl Step {
    pub(crate) fn asking(mut self, question: &str, who: &[&str]) -> Self {
        self.gate = Some(Gate {
            question: question.into(),
            who: who.iter().map(|w| (*w).into()).collect(),
            checklist: Vec::new(),
            call_ahead: None,
            answer_by: None,
            not_author: false,
            quorum: 1,
            ask_below: None,
        });
        self
    }

    pub(crate) fn takes(mut self, expected: i64, worst: i64) -> Self {
        self.estimate = Some(minutes(expected, worst));
        self
    }

    pub(crate) fn undone_by(mut self, text: &str, worst: i64) -> Self {
        self.undo = Undo::Command(rollback(RollbackWork::Run(text.into()), worst));
        self
    }
}

pub(crate) fn rollback(work: RollbackWork, worst: i64) -> Rollback {
    let estimate = minutes(worst, worst);
    Rollback {
        work,
        place: None,
        estimate,
        timeout: None,
        reboot: None,
        verify: None,
        retry: Retry::default(),
        until: None,
    }
}

/// A plan without a window.
pub(crate) fn plan(steps: Vec<Step>) -> Plan {
    let mut hosts = IndexMap::new();
    for step in &steps {
        if let Place::Hosts(names) = &step.place {
            hosts.extend(names.iter().map(|n| (n.clone(), Host::default())));
        }
    }
    Plan {
        stem: "sample".into(),
        name: "Sample".into(),
        timezone: None,
        window: None,
        hosts,
        groups: IndexMap::new(),
        inventory: None,
        vars: IndexMap::new(),
        people: IndexMap::new(),
        resources: IndexMap::new(),
        notify: Vec::new(),
        after_rollback: None,
        waves: Vec::new(),
        after: Vec::new(),
        covers_all: false,
        at_once: None,
        ask_below: None,
        steps: steps.into_iter().map(|s| (s.id.clone(), s)).collect(),
        files: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn graph(plan: Plan) -> Graph {
    Graph::build(Arc::new(plan))
}

pub(crate) fn file(text: Option<&str>, lines: u64) -> FileFacts {
    FileFacts {
        kind: FileKind::File,
        size: 9,
        sha256: "ab".repeat(32),
        lines,
        executable: true,
        text: text.map(Into::into),
    }
}

/// The night of 2 December 2007.
pub(crate) fn december() -> Plan {
    let (fe, be) = (["fe1", "fe2"], ["be1", "be2"]);
    let script = |id: &str, needs: &[&str], hosts: &[&str], src: &str| step(id, needs, hosts, Verb::Script(src.into()));
    let mut announce =
        run("announce", &["landing-test"], &["local"], "mail-call-centre \"Version $VERSION is up\"").takes(2, 2);
    announce.undo = Undo::Irreversible("a mail cannot be unsent".into());
    announce.on_failure = OnFailure::Continue;
    let mut db_scripts = script("db-scripts", &["backup-db"], &["db1"], "db/2.4.0.sql")
        .takes(30, 40)
        .undone_by("callcentre-restore \"$PREVIOUS.dump\"", 30);
    db_scripts.when = Some("DB_CHANGES".into());
    let mut plan = plan(vec![
        gate("bridge", &[], "Is everybody on the bridge, and ready?", &["release", "dba"]).takes(5, 5),
        run("stop-frontend", &["bridge"], &fe, "systemctl stop callcentre-fe")
            .takes(5, 5)
            .undone_by("systemctl start callcentre-fe", 5),
        run("stop-backend", &["bridge"], &be, "systemctl stop callcentre-be")
            .takes(5, 5)
            .undone_by("systemctl start callcentre-be", 5),
        run("backup-db", &["stop-frontend", "stop-backend"], &["db1"], "callcentre-backup \"$PREVIOUS.dump\"")
            .takes(15, 20),
        script("deploy-backend", &["stop-backend"], &be, "install-backend.sh")
            .takes(20, 30)
            .undone_by("install-backend \"$PREVIOUS\"", 15),
        db_scripts,
        test("sanity-backend", &["deploy-backend", "db-scripts"], &be, "sanity --backend").takes(20, 25),
        script("deploy-frontend", &["sanity-backend", "stop-frontend"], &fe, "install-frontend.sh")
            .takes(20, 25)
            .undone_by("install-frontend \"$PREVIOUS\"", 10),
        test("sanity-frontend", &["deploy-frontend"], &fe, "sanity --frontend")
            .asking("Does the sanity test pass?", &["release"])
            .takes(25, 30),
        gate("landing-test", &["sanity-frontend"], "Does the client accept the release?", &["client"]).takes(120, 160),
        announce,
    ]);
    plan.name = "Call-centre release 2.4".into();
    plan.timezone = Some("America/Toronto".into());
    plan.window = Some(Window {
        opening: Opening::At {
            opens: "2007-12-02T01:30:00-05:00".parse::<Timestamp>().unwrap(),
            closes: "2007-12-02T07:00:00-05:00".parse::<Timestamp>().unwrap(),
        },
        reserve: SignedDuration::from_mins(15),
        max_extension: None,
        on_deadline: OnDeadline::Rollback,
    });
    plan.vars = IndexMap::from([
        ("VERSION".to_owned(), Value::Text("2.4.0".into())),
        ("PREVIOUS".to_owned(), Value::Text("2.3.7".into())),
        ("DB_CHANGES".to_owned(), Value::Bool(true)),
    ]);
    for (src, lines) in [("install-backend.sh", 41), ("db/2.4.0.sql", 212), ("install-frontend.sh", 38)] {
        plan.files.insert(src.into(), file(None, lines));
    }
    plan.after_rollback =
        Some(test("after_rollback", &[], &fe, "sanity --frontend --expect \"$PREVIOUS\"").takes(10, 10));
    plan
}
