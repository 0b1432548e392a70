//! The plan of 2 December 2007 and the facts of its night, written by hand, as the stories tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::*;
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::outcome::{Evidence, Outcome};
use runbook::plan::model::*;
use runbook::plan::units::Estimate;
use runbook::view::RunView;

pub fn minutes(m: i64) -> SignedDuration {
    SignedDuration::from_mins(m)
}

/// A clock time of the night in Toronto: `01:30` or `01:30:04`.
pub fn at(clock: &str) -> Timestamp {
    let clock = if clock.len() == 5 { format!("{clock}:00") } else { clock.to_owned() };
    format!("2007-12-02T{clock}-05:00").parse().unwrap()
}

fn step(id: &str, needs: &[&str], place: Place, verb: Verb, expected: i64, worst: i64) -> Step {
    let judges = matches!(verb, Verb::Test(_));
    Step {
        id: id.into(),
        line: 1,
        needs: needs.iter().map(|n| Need { step: (*n).into(), same_host: false }).collect(),
        place,
        when: None,
        verb,
        gate: None,
        undo: Undo::Nothing,
        estimate: Some(Estimate { expected: minutes(expected), worst: minutes(worst) }),
        timeout: None,
        expect: None,
        retry: Retry::default(),
        idempotent: false,
        atomic: false,
        verify: None,
        outputs: vec![],
        on_failure: if judges { OnFailure::Rollback } else { OnFailure::Ask },
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
        tags: vec![],
    }
}

fn undo(command: &str, m: i64) -> Undo {
    Undo::Command(Rollback {
        work: RollbackWork::Run(command.into()),
        place: None,
        estimate: Estimate::exactly(minutes(m)),
        timeout: None,
        reboot: None,
        until: None,
        verify: None,
        retry: Retry::default(),
    })
}

fn gate(question: &str, who: &[&str]) -> Gate {
    Gate {
        question: question.into(),
        who: who.iter().map(|w| (*w).into()).collect(),
        checklist: vec![],
        call_ahead: None,
        answer_by: None,
        not_author: false,
        quorum: 1,
        ask_below: None,
    }
}

fn on(hosts: &[&str]) -> Place {
    Place::Hosts(hosts.iter().map(|h| (*h).into()).collect())
}

pub fn plan() -> Plan {
    let run = |text: &str| Verb::Run(text.into());
    let test = |text: &str| Verb::Test(text.into());
    let (fe, be, db) = (on(&["fe1", "fe2"]), on(&["be1", "be2"]), on(&["db1"]));
    let steps = [
        Step {
            gate: Some(gate("Is everybody on the bridge, and ready?", &["release", "dba"])),
            ..step("bridge", &[], Place::Nowhere, Verb::Gate, 5, 5)
        },
        Step {
            undo: undo("systemctl start callcentre-fe", 5),
            ..step("stop-frontend", &["bridge"], fe.clone(), run("systemctl stop callcentre-fe"), 5, 5)
        },
        Step {
            undo: undo("systemctl start callcentre-be", 5),
            ..step("stop-backend", &["bridge"], be.clone(), run("systemctl stop callcentre-be"), 5, 5)
        },
        Step {
            undo: Undo::ReadOnly,
            verify: Some("callcentre-backup --test \"$PREVIOUS.dump\"".into()),
            ..step(
                "backup-db",
                &["stop-frontend", "stop-backend"],
                db.clone(),
                run("callcentre-backup \"$PREVIOUS.dump\""),
                15,
                20,
            )
        },
        Step {
            undo: undo("install-backend \"$PREVIOUS\"", 15),
            ..step("deploy-backend", &["stop-backend"], be.clone(), Verb::Script("install-backend.sh".into()), 20, 30)
        },
        Step {
            undo: undo("callcentre-restore \"$PREVIOUS.dump\"", 30),
            ..step("db-scripts", &["backup-db"], db, Verb::Script("db/2.4.0.sql".into()), 30, 40)
        },
        Step {
            retry: Retry { times: 2, wait: SignedDuration::from_secs(30), backoff: Backoff::Fixed },
            ..step("sanity-backend", &["deploy-backend", "db-scripts"], be, test("sanity --backend"), 20, 25)
        },
        Step {
            undo: undo("install-frontend \"$PREVIOUS\"", 10),
            ..step(
                "deploy-frontend",
                &["sanity-backend", "stop-frontend"],
                fe.clone(),
                Verb::Script("install-frontend.sh".into()),
                20,
                25,
            )
        },
        Step {
            gate: Some(gate("Does the sanity test pass?", &["release"])),
            ..step("sanity-frontend", &["deploy-frontend"], fe.clone(), test("sanity --frontend"), 25, 30)
        },
        Step {
            gate: Some(Gate {
                checklist: vec![
                    "New billing screen".into(),
                    "Transfer a customer".into(),
                    "Regression list of October".into(),
                ],
                call_ahead: Some(minutes(30)),
                ..gate("Does the client accept the release?", &["client"])
            }),
            ..step("landing-test", &["sanity-frontend"], Place::Nowhere, Verb::Gate, 120, 160)
        },
        Step {
            undo: Undo::Irreversible("a mail cannot be unsent".into()),
            on_failure: OnFailure::Continue,
            ..step(
                "announce",
                &["landing-test"],
                Place::Controller,
                run("mail-call-centre \"Version $VERSION is up\""),
                2,
                2,
            )
        },
    ];
    let person = |name: &str, phone: &str| Person { name: name.into(), phone: Some(phone.into()), mail: None };
    let script =
        |lines| FileFacts { kind: FileKind::File, size: 900, sha256: "0".into(), lines, executable: true, text: None };
    Plan {
        stem: "2007-12-02".into(),
        name: "Call-centre release 2.4".into(),
        timezone: Some("America/Toronto".into()),
        window: Some(Window {
            opening: Opening::At { opens: at("01:30"), closes: at("07:00") },
            reserve: minutes(15),
            max_extension: None,
            on_deadline: OnDeadline::Rollback,
        }),
        hosts: ["fe1", "fe2", "be1", "be2", "db1"].iter().map(|h| ((*h).into(), Host::default())).collect(),
        groups: IndexMap::new(),
        inventory: None,
        vars: IndexMap::new(),
        people: IndexMap::from([
            ("release".to_owned(), person("Sarah", "+1 555 0101")),
            ("dba".to_owned(), person("Dev", "+1 555 0102")),
            ("client".to_owned(), person("Ms. Hu", "+1 555 0103")),
        ]),
        resources: IndexMap::new(),
        notify: vec![],
        after_rollback: Some(step("after_rollback", &[], fe, test("sanity --frontend --expect \"$PREVIOUS\""), 10, 10)),
        waves: vec![],
        after: Vec::new(),
        covers_all: false,
        at_once: None,
        ask_below: None,
        steps: steps.into_iter().map(|s| (s.id.clone(), s)).collect(),
        files: BTreeMap::from([
            ("install-backend.sh".to_owned(), script(41)),
            ("db/2.4.0.sql".to_owned(), script(212)),
            ("install-frontend.sh".to_owned(), script(38)),
        ]),
    }
}

pub fn graph() -> Arc<Graph> {
    Arc::new(Graph::build(Arc::new(plan())))
}

pub fn sarah(channel: Channel) -> Actor {
    Actor { name: "Sarah".into(), channel }
}

/// Facts in the making.
pub struct Night {
    pub facts: Vec<FactRecord>,
}

impl Night {
    pub fn started() -> Self {
        let mut night = Self { facts: vec![] };
        night.add(
            "01:16:02",
            Fact::RunStarted(Box::new(RunStarted {
                format: runbook::engine::fact::FORMAT,
                run: "2007-12-02-a".into(),
                plan: "2007-12-02".into(),
                title: "Call-centre release 2.4".into(),
                file: "plans/2007-12-02.yaml".into(),
                digest: "7c1f9a3e55aa0011".into(),
                by: sarah(Channel::Cli),
                controller: "bastion".into(),
                timezone: Some("America/Toronto".into()),
                window: Some(WindowInstants {
                    opens: at("01:30"),
                    closes: at("07:00"),
                    reserve: minutes(15),
                    max_extension: None,
                    on_deadline: OnDeadline::Rollback,
                }),
                options: RunOptions::default(),
                seed: 1,
                actions: 16,
                steps: 11,
                order: None,
                past: runbook::schedule::Past::default(),
                baseline: Default::default(),
            })),
        );
        night
    }

    pub fn add(&mut self, clock: &str, fact: Fact) -> &mut Self {
        let seq = self.facts.len() as u64 + 1;
        self.facts.push(FactRecord { seq, at: at(clock), fact });
        self
    }

    pub fn arm(&mut self, clock: &str, step: &str, hosts: &[&str]) -> &mut Self {
        self.arm_as(clock, step, hosts, Direction::Do, 1)
    }

    pub fn arm_as(&mut self, clock: &str, step: &str, hosts: &[&str], direction: Direction, number: u32) -> &mut Self {
        for host in hosts {
            self.add(clock, Fact::AttemptArmed { attempt: attempt(step, host, direction, number) });
        }
        self
    }

    pub fn done(&mut self, clock: &str, step: &str, hosts: &[&str]) -> &mut Self {
        for host in hosts {
            self.end(clock, attempt(step, host, Direction::Do, 1), Outcome::Succeeded, Evidence::default());
        }
        self
    }

    pub fn end(&mut self, clock: &str, attempt: AttemptId, outcome: Outcome, evidence: Evidence) -> &mut Self {
        self.add(clock, Fact::AttemptEnded { attempt, outcome, evidence })
    }

    pub fn by(&mut self, clock: &str, by: &str, rollback: i64) -> &mut Self {
        self.add(clock, Fact::RollBackByMoved { at: Some(at(by)), rollback_now: minutes(rollback) })
    }

    pub fn ask(&mut self, clock: &str, gate: &str, by: &str) -> &mut Self {
        self.add(clock, Fact::GateOpened { action: ActionId::new(gate, None), answer_by: Some(at(by)) })
    }

    pub fn answer(&mut self, clock: &str, gate: &str, by: Actor, defects: &[&str]) -> &mut Self {
        let answer = if defects.is_empty() { GateAnswer::Approved } else { GateAnswer::ApprovedWithDefects };
        let defects = defects.iter().map(|d| (*d).into()).collect();
        self.add(clock, Fact::GateAnswered { action: ActionId::new(gate, None), answer, by, defects, note: None })
    }

    /// 01:30 to 01:47: bridge, shutdown, a suspiciously quick backup; be1 is deployed.
    pub fn until_0147() -> Self {
        let mut night = Self::started();
        night
            .add("01:30:00", Fact::WindowOpened)
            .by("01:30:00", "06:45", 0)
            .ask("01:30:00", "bridge", "01:55")
            .answer("01:34:51", "bridge", sarah(Channel::Web), &[])
            .arm("01:34:51", "stop-frontend", &["fe1", "fe2"])
            .arm("01:34:51", "stop-backend", &["be1", "be2"])
            .by("01:34:51", "06:30", 15)
            .done("01:36:10", "stop-frontend", &["fe1"])
            .done("01:37:02", "stop-frontend", &["fe2"])
            .done("01:39:40", "stop-backend", &["be1", "be2"])
            .arm("01:39:40", "backup-db", &["db1"])
            .arm("01:39:40", "deploy-backend", &["be1", "be2"])
            .by("01:39:40", "06:15", 30)
            .done("01:44:20", "backup-db", &["db1"])
            .arm_as("01:44:20", "backup-db", &["db1"], Direction::Check, 1)
            .end("01:44:38", attempt("backup-db", "db1", Direction::Check, 1), Outcome::Succeeded, Evidence::default())
            .arm("01:44:38", "db-scripts", &["db1"])
            .by("01:44:38", "06:00", 45)
            .done("01:46:02", "deploy-backend", &["be1"]);
        night
    }

    pub fn until_0150() -> Self {
        let mut night = Self::until_0147();
        night.done("01:49:40", "db-scripts", &["db1"]).done("01:50:31", "deploy-backend", &["be2"]).arm(
            "01:50:31",
            "sanity-backend",
            &["be1", "be2"],
        );
        night
    }

    /// The client has just been asked.
    pub fn until_0220() -> Self {
        let mut night = Self::until_0150();
        night
            .done("01:59:50", "sanity-backend", &["be1", "be2"])
            .arm("01:59:50", "deploy-frontend", &["fe1", "fe2"])
            .by("01:59:50", "05:50", 55)
            .done("02:05:09", "deploy-frontend", &["fe1", "fe2"])
            .arm("02:05:09", "sanity-frontend", &["fe1", "fe2"])
            .done("02:07:31", "sanity-frontend", &["fe1", "fe2"])
            .ask("02:07:31", "sanity-frontend", "05:50")
            .answer("02:20:11", "sanity-frontend", sarah(Channel::Cli), &[])
            .ask("02:20:11", "landing-test", "05:50");
        night
    }

    pub fn whole() -> Self {
        let mut night = Self::until_0220();
        let client = Actor { name: "Ms. Hu".into(), channel: Channel::Link };
        let defects = ["wrong label on the billing screen (BUG-311)", "export is slow (BUG-312)"];
        night
            .answer("05:00:20", "landing-test", client, &defects)
            .add("05:00:20", Fact::ReversibleEnded { why: "announce: a mail cannot be unsent".into() })
            .arm("05:00:20", "announce", &["local"])
            .done("05:01:02", "announce", &["local"])
            .add("05:01:02", Fact::RunEnded { end: RunEnd::Succeeded { late: false } });
        night
    }

    /// The sanity test of the back-end fails on be2, three times.
    pub fn failing() -> Self {
        let mut night = Self::until_0150();
        let be2 = |number| attempt("sanity-backend", "be2", Direction::Do, number);
        let tail = [
            "GET /orders/1 ... 200 in 41ms",
            "GET /customers/77 ... 503 Service Unavailable",
            "pool \"crm\": could not get connection in 5000 ms",
            "  caused by: connection refused: crm-lb:1521",
            "2 of 40 checks failed: customers, billing-history",
            "\u{1b}[31msanity: FAILED\u{1b}[0m",
        ];
        let seen = |secs: i64| Evidence {
            took: Some(SignedDuration::from_secs(secs)),
            tail: tail.iter().map(|t| (*t).into()).collect(),
            lines: 214,
            ..Evidence::default()
        };
        let failed = ActionId::new("sanity-backend", Some("be2"));
        night
            .done("01:52:30", "sanity-backend", &["be1"])
            .end("01:53:40", be2(1), Outcome::Failed { exit: 1 }, seen(189))
            .add("01:53:40", Fact::RetryScheduled { attempt: be2(2), at: at("01:54:10") })
            .arm_as("01:54:10", "sanity-backend", &["be2"], Direction::Do, 2)
            .end("01:56:01", be2(2), Outcome::Failed { exit: 1 }, seen(111))
            .add("01:56:01", Fact::RetryScheduled { attempt: be2(3), at: at("01:56:31") })
            .arm_as("01:56:31", "sanity-backend", &["be2"], Direction::Do, 3)
            .end("01:58:42", be2(3), Outcome::Failed { exit: 1 }, seen(131))
            .add("01:58:42", Fact::ActionFailed { action: failed.clone(), then: OnFailure::Rollback })
            .add(
                "01:58:42",
                Fact::HoldOpened {
                    reason: HoldReason::RollbackGrace { cause: RollbackCause::Failed { action: failed } },
                    limit: Some(at("01:59:42")),
                    default: HoldAnswer::Rollback,
                },
            );
        night
    }

    /// ... and the rollback runs.
    pub fn rolling_back() -> Self {
        let mut night = Self::failing();
        let action = ActionId::new("sanity-backend", Some("be2"));
        night
            .add("01:59:42", Fact::RollbackDecided { cause: RollbackCause::Failed { action } })
            .arm_as("01:59:42", "db-scripts", &["db1"], Direction::Undo, 1)
            .arm_as("01:59:42", "deploy-backend", &["be1", "be2"], Direction::Undo, 1)
            .undone("02:06:30", "deploy-backend", &["be1"]);
        night
    }

    /// ... which a person has stopped on its way.
    pub fn rollback_paused() -> Self {
        let mut night = Self::rolling_back();
        night.add(
            "02:08:00",
            Fact::HoldOpened {
                reason: HoldReason::RollbackPaused { by: sarah(Channel::Cli) },
                limit: None,
                default: HoldAnswer::Stay,
            },
        );
        night
    }

    pub fn undone(&mut self, clock: &str, step: &str, hosts: &[&str]) -> &mut Self {
        for host in hosts {
            self.end(clock, attempt(step, host, Direction::Undo, 1), Outcome::Succeeded, Evidence::default());
        }
        self
    }

    pub fn rolled_back() -> Self {
        let mut night = Self::rolling_back();
        night
            .undone("02:11:02", "deploy-backend", &["be2"])
            .arm_as("02:11:02", "stop-backend", &["be1", "be2"], Direction::Undo, 1)
            .undone("02:12:40", "stop-backend", &["be1", "be2"])
            .undone("02:26:15", "db-scripts", &["db1"])
            .arm_as("02:26:15", "stop-frontend", &["fe1", "fe2"], Direction::Undo, 1)
            .undone("02:28:01", "stop-frontend", &["fe1", "fe2"])
            .arm("02:28:01", "after_rollback", &["fe1", "fe2"])
            .done("02:33:05", "after_rollback", &["fe1", "fe2"])
            .add("02:33:05", Fact::RunEnded { end: RunEnd::RolledBack { verified: Some(true), late: false } });
        night
    }

    /// The database cannot be restored.
    pub fn stuck() -> Self {
        let mut night = Self::rolling_back();
        let db1 = attempt("db-scripts", "db1", Direction::Undo, 1);
        let seen = Evidence { tail: vec!["restore: disk full, 0 B free".into()], lines: 9, ..Evidence::default() };
        let why = "exit 1: disk full, 0 B free".to_owned();
        night
            .undone("02:11:02", "deploy-backend", &["be2"])
            .arm_as("02:11:02", "stop-backend", &["be1", "be2"], Direction::Undo, 1)
            .undone("02:12:40", "stop-backend", &["be1", "be2"])
            .end("02:28:40", db1.clone(), Outcome::Failed { exit: 1 }, seen)
            .add("02:28:40", Fact::UndoParked { action: db1.action.clone(), why: why.clone() })
            .add("02:28:40", Fact::RunEnded { end: RunEnd::Stuck { actions: BTreeMap::from([(db1.action, why)]) } });
        night
    }

    pub fn view(&self) -> RunView {
        let mut view = RunView::new(graph());
        for fact in &self.facts {
            view.apply(fact);
        }
        view
    }

    pub fn view_at(&self, clock: &str) -> RunView {
        let mut view = RunView::new(graph());
        for fact in self.facts.iter().filter(|f| f.at <= at(clock)) {
            view.apply(fact);
        }
        view
    }
}

pub fn attempt(step: &str, host: &str, direction: Direction, number: u32) -> AttemptId {
    AttemptId { action: ActionId::new(step, Some(host)), direction, number }
}
