//! A plan in waves is executed wave by wave, in the lab over real sshds: every host exactly once.

use runbook::engine::fact::Fact;
use rustix::process::Signal;

use super::exec::{Bed, eventually, signal};
use super::harness::farm::Farm;

pub const WEEK: &str = "runbook: 1
name: A week
timezone: UTC
hosts:
  web: [web1, web2, web3, web4]
covers: all
steps:
  update:
    hosts: wave
    run: echo \"$RUNBOOK_WAVE $HOST\" >> DIR/touched
    estimate: 1m-2m
    rollback: {run: \"true\", estimate: 1m}
waves:
  - {name: few, opens: \"2040-12-01 17:00\", closes: \"21:00\", hosts: {web: 25%}}
  - {name: rest, opens: \"2040-12-02 17:00\", closes: \"21:00\", gate: Is Tuesday understood?, hosts: {web: rest}}
";

fn touched(bed: &Bed) -> Vec<String> {
    let mut lines: Vec<String> =
        std::fs::read_to_string(bed.path("touched")).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn each_exec_takes_the_next_wave_and_every_host_is_touched_exactly_once() {
    let bed = Bed::new(WEEK);
    let exec = || bed.run(&["exec", "night.yaml", "--lab", "--no-input"]);
    let first = exec();
    assert_eq!(first.code, 0, "{first:?}");
    for words in
        ["wave  few, 1 of 2: 1 host", "1 of 4 hosts done", "rest opens Sun 02 17:00", "runbook exec night.yaml"]
    {
        assert!(first.stderr.contains(words), "{words}: {first:?}");
    }
    let second = exec();
    assert_eq!(second.code, 0, "{second:?}");
    for words in ["wave  rest, 2 of 2: 3 hosts", "GATE   rest", "wave 2 of 2 is over: 4 of 4 hosts done"] {
        assert!(second.stderr.contains(words), "{words}: {second:?}");
    }
    assert_eq!(touched(&bed), ["few web1", "rest web2", "rest web3", "rest web4"]);
    let status = bed.run(&["status"]);
    assert!(status.stdout.contains("wave rest 2/2, week: 4 of 4 hosts"), "{status:?}");
}

#[test]
fn a_wave_that_was_rolled_back_is_the_next_one_again() {
    let bed = Bed::new(WEEK);
    let failed = bed.run(&["exec", "night.yaml", "--lab", "--no-input", "--fail", "update@web1"]);
    assert_eq!(failed.code, 10, "{failed:?}");
    let again = bed.run(&["exec", "night.yaml", "--lab", "--no-input"]);
    assert!(again.code == 0 && again.stderr.contains("wave  few, 1 of 2: 1 host"), "{again:?}");
    assert_eq!(touched(&bed), ["few web1"]);
}

#[test]
fn a_wave_waits_for_the_earlier_ones_and_for_its_own_window() {
    let bed = Bed::new(WEEK);
    let exec = |more: &[&str]| bed.run(&[&["exec", "night.yaml", "--confirm", "night"], more].concat());
    exec(&["--wave", "rest"]).refused(3, &["wave `rest` comes after `few`, which is not done", "--wave few"]);
    exec(&["--wave", "fwe"]).refused(2, &["the plan has no wave `fwe`", "did you mean `few`?"]);
    exec(&[]).refused(3, &["the window opens in", "Sat 1 Dec 2040, 17:00", "--wait"]);
    assert_eq!(bed.runs(), 0, "nothing was begun");
}

/// The week with its first wave opening so many hours from now, and the second a day after it.
fn moved(bed: &Bed, hours: i64) {
    let at = |hours: i64| {
        let at = runbook::driver::clock::now() + jiff::SignedDuration::from_hours(hours);
        at.strftime("%Y-%m-%d %H:%M").to_string()
    };
    let text = WEEK
        .replace("[web1, web2, web3, web4]", "[h1, h2, h3, h4]")
        .replace("2040-12-01 17:00\", closes: \"21:00", &format!("{}\", closes: \"{}", at(hours), at(hours + 8)))
        .replace("2040-12-02 17:00\", closes: \"21:00", &format!("{}\", closes: \"{}", at(hours + 24), at(hours + 32)));
    bed.plan("night", &text);
}

#[test]
fn waves_that_were_moved_do_not_touch_a_host_twice_unless_somebody_says_so() {
    let bed = Bed::new(WEEK);
    let _farm = Farm::start(bed.dir.path(), 4);
    let exec = |more: &[&str]| bed.run(&[&["exec", "night.yaml", "--confirm", "night", "--no-input"], more].concat());
    moved(&bed, -4);
    let few = exec(&[]);
    assert_eq!(few.code, 0, "{few:?}");

    moved(&bed, -3);
    exec(&[]).refused(3, &["that week was not finished: 1 of 4 hosts are done", "--week same", "--week new"]);
    exec(&["--week", "same", "--wave", "few"]).refused(3, &["wave `few` is done by run night-a"]);
    exec(&["--week", "same"]).refused(3, &["the window opens in"]);
    assert_eq!(touched(&bed), ["few h1"]);

    let again = exec(&["--week", "new"]);
    assert!(again.code == 0 && again.stderr.contains("wave  few, 1 of 2: 1 host"), "{again:?}");
    exec(&[]).refused(3, &["the window opens in"]);
    assert_eq!(touched(&bed), ["few h1", "few h1"]);
}

#[test]
fn what_only_plans_in_waves_know_is_refused_for_others() {
    let bed = Bed::new("runbook: 1\nname: n\nsteps:\n  one: {hosts: local, test: \"true\", estimate: 1m}\n");
    let exec = |more: &[&str]| bed.run(&[&["exec", "night.yaml", "--lab"], more].concat());
    exec(&["--wave", "few"]).refused(2, &["the plan has no waves, so there is none called `few`"]);
    exec(&["--week", "new"]).refused(2, &["the plan has no waves, so `--week` says nothing about it"]);
}

#[test]
fn one_wave_is_looked_at_like_a_plan_of_its_own() {
    let bed = Bed::new(WEEK);
    let plan = bed.run(&["plan", "night.yaml", "--wave", "rest"]);
    for words in ["Window         17:00 - 21:00", "Is Tuesday understood?", "3 hosts", "exec night.yaml --wave rest"] {
        assert!(plan.stdout.contains(words), "{words}: {plan:?}");
    }
    bed.run(&["plan", "night.yaml", "--wave", "rset"]).refused(2, &["no wave `rset`", "did you mean `rest`?"]);
    bed.run(&["plan", "night.yaml", "--probe"]).refused(2, &["`--probe` is for one wave at a time", "--wave NAME"]);
    for (verb, what, words) in [("drill", "drilled", "undo coverage 3/3"), ("advise", "advised on", "AS PLANNED")] {
        let whole = format!("a plan in waves cannot be {what} as a whole");
        bed.run(&[verb, "night.yaml"]).refused(3, &[&whole, "--wave few|rest"]);
        let one = bed.run(&[verb, "night.yaml", "--wave", "rest"]);
        assert!(one.code == 0 && one.stdout.contains(words), "{one:?}");
    }
    let graph = bed.run(&["graph", "night.yaml", "--wave", "few"]);
    assert!(graph.stdout.contains("on 1 host"), "{graph:?}");
    assert_eq!(bed.runs(), 0);
}

#[test]
fn lists_and_documents_name_the_wave() {
    let bed = Bed::new(WEEK);
    let exec = bed.run(&["exec", "night.yaml", "--lab", "--no-input", "--json"]);
    assert_eq!(exec.code, 0, "{exec:?}");
    let wave = r#""wave":{"name":"few","number":1,"of":2,"hosts":1,"week_done":"#;
    assert!(exec.stdout.lines().next().is_some_and(|hello| hello.contains(wave)), "{exec:?}");
    assert!(bed.run(&["status", "--json"]).stdout.contains(&format!("{wave}1,\"week_hosts\":4}}")));
    assert!(bed.run(&["runs"]).stdout.contains("(wave few, 1 of 2)  (lab)"));
    assert!(bed.run(&["runs", "--json"]).stdout.contains(r#""wave":{"name":"few","number":1,"of":2}"#));
    assert!(bed.run(&["report"]).stdout.contains("wave few 1/2, week: 1 of 4 hosts"));
}

/// Both waves are open now, and wait for nobody.
fn open_now(bed: &Bed) {
    moved(bed, -4);
    let text = std::fs::read_to_string(bed.path("night.yaml")).unwrap();
    let at = |hours: i64| {
        let at = runbook::driver::clock::now() + jiff::SignedDuration::from_hours(hours);
        at.strftime("%Y-%m-%d %H:%M").to_string()
    };
    let held = "run: while [ -e DIR/held-$RUNBOOK_WAVE ]; do sleep 0.02; done; echo";
    let text = text.replace(&at(20), &at(-3)).replace(&at(28), &at(5)).replace("run: echo", held);
    bed.plan("night", &text.replace(" gate: Is Tuesday understood?,", ""));
}

/// The engine of the second wave has died while its three hosts were at work.
fn second_wave_dies(bed: &Bed) {
    std::fs::write(bed.path("held-rest"), "").unwrap();
    assert_eq!(bed.run(&["exec", "night.yaml", "--confirm", "night", "--detach"]).code, 30);
    let run = bed.store().runs().unwrap()[0].clone();
    let launched = |fact: &Fact| matches!(fact, Fact::AttemptLaunched { .. });
    eventually("all three work", || bed.facts(&run.id).iter().filter(|fact| launched(fact)).count() >= 3);
    signal(bed.store().run(&run.id).unwrap().lease.unwrap().pid, Signal::KILL);
    bed.engine_is_gone(&bed.store().run(&run.id).unwrap());
}

const RECOVER: [&str; 6] = ["recover", "night.yaml", "--wave", "rest", "--confirm", "night"];

#[test]
fn a_recovered_wave_concludes_that_those_before_it_were_over() {
    let bed = Bed::new(WEEK);
    let _farm = Farm::start(bed.dir.path(), 4);
    open_now(&bed);
    assert_eq!(bed.run(&["exec", "night.yaml", "--confirm", "night"]).code, 0);
    second_wave_dies(&bed);
    std::fs::rename(bed.path("store"), bed.path("lost")).unwrap();
    let said = bed.run(&RECOVER);
    let concluded = "few was over: rest is executed only after it; which of its hosts were left out is not known";
    assert!(said.code == 0 && said.stdout.contains(concluded), "{said:?}");
    std::fs::remove_file(bed.path("held-rest")).unwrap();
    let resumed = bed.run(&["resume", "--confirm", "night"]);
    assert!(resumed.code == 0 && resumed.stderr.contains("4 of 4 hosts done"), "{resumed:?}");
    let next = bed.run(&["exec", "night.yaml", "--confirm", "night"]);
    next.refused(3, &["all 2 waves of the plan are over: 4 of 4 hosts done"]);
    assert_eq!(touched(&bed), ["few h1", "rest h2", "rest h3", "rest h4"]);
}

#[test]
fn a_recovered_wave_knows_what_the_journals_of_earlier_waves_tell() {
    let bed = Bed::new(WEEK);
    let _farm = Farm::start(bed.dir.path(), 4);
    open_now(&bed);
    assert_eq!(bed.run(&["exec", "night.yaml", "--confirm", "night"]).code, 0);
    // The journal as it was in the evening is all that is left.
    let evening = std::process::Command::new("cp").arg("-r").args([bed.path("store"), bed.path("kept")]).status();
    assert!(evening.unwrap().success());
    second_wave_dies(&bed);
    std::fs::rename(bed.path("store"), bed.path("lost")).unwrap();
    std::fs::rename(bed.path("kept"), bed.path("store")).unwrap();
    let said = bed.run(&RECOVER);
    assert!(said.code == 0 && !said.stdout.contains("concluded"), "{said:?}");
    std::fs::remove_file(bed.path("held-rest")).unwrap();
    assert_eq!(bed.run(&["resume", "--confirm", "night"]).code, 0);
    bed.run(&["exec", "night.yaml", "--confirm", "night", "--wave", "few"])
        .refused(3, &["`few` is done by run night-a"]);
}

/// The first run of the wave was rolled back on none of its hosts and left one out; the second one is lost.
#[test]
fn a_recovered_wave_says_where_another_run_of_it_was() {
    let bed = Bed::new(WEEK);
    let _farm = Farm::start(bed.dir.path(), 4);
    open_now(&bed);
    let exec = |more: &[&str]| bed.run(&[&["exec", "night.yaml", "--confirm", "night"], more].concat());
    assert_eq!(exec(&[]).code, 0);
    assert_eq!(exec(&["--hosts", "h2"]).code, 0);
    std::fs::write(bed.path("held-rest"), "").unwrap();
    assert_eq!(exec(&["--detach"]).code, 30);
    let run = bed.store().runs().unwrap()[0].clone();
    let at_work = || bed.facts(&run.id).iter().filter(|f| matches!(f, Fact::AttemptLaunched { .. })).count() >= 2;
    eventually("the other two work", at_work);
    signal(bed.store().run(&run.id).unwrap().lease.unwrap().pid, Signal::KILL);
    bed.engine_is_gone(&bed.store().run(&run.id).unwrap());
    std::fs::rename(bed.path("store"), bed.path("lost")).unwrap();
    let said = bed.run(&RECOVER);
    let words = "another run of this wave has worked on h2: whether they are done is not known. Leave them out if they are:   --hosts h3,h4";
    assert!(said.code == 0 && said.stdout.contains(words), "{said:?}");
    std::fs::remove_file(bed.path("held-rest")).unwrap();
}

#[test]
fn a_wave_goes_on_after_its_engine_died() {
    let held = "run: while [ -e DIR/held ]; do sleep 0.02; done; echo";
    let bed = Bed::new(&WEEK.replace("run: echo", held));
    std::fs::write(bed.path("held"), "").unwrap();
    let lab = ["exec", "night.yaml", "--lab", "--no-input", "--wave", "rest", "--detach"];
    let exec = bed.run(&lab);
    assert_eq!(exec.code, 30, "{exec:?}");
    let run = bed.store().runs().unwrap()[0].clone();
    let launched = |fact: &Fact| matches!(fact, Fact::AttemptLaunched { .. });
    eventually("all three work", || bed.facts(&run.id).iter().filter(|fact| launched(fact)).count() >= 3);
    signal(bed.store().run(&run.id).unwrap().lease.unwrap().pid, Signal::KILL);
    bed.engine_is_gone(&bed.store().run(&run.id).unwrap());
    std::fs::remove_file(bed.path("held")).unwrap();
    let resumed = bed.run(&["resume", "night.yaml", "--confirm", "night"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(touched(&bed), ["rest web2", "rest web3", "rest web4"]);
    assert!(bed.run(&["status"]).stdout.contains("wave rest 2/2, week: 3 of 4 hosts"));
}

/// Whatever happens while a soak goes on counts, and only the open wave is rolled back; it is the next one again.
#[test]
fn a_soak_that_fails_in_its_middle_rolls_its_wave_back() {
    let bed = Bed::new(&WEEK.replace(
        "waves:",
        "  quiet:
    needs: [update]
    hosts: local
    test: echo asked >> DIR/asked; test $(wc -l < DIR/asked) -ne 4
    hold: 1s
    estimate: 2s
waves:",
    ));
    bed.plan(
        "night",
        &std::fs::read_to_string(bed.path("night.yaml")).unwrap().replace("update:\n", "update:\n    needs: []\n"),
    );
    let exec = || bed.run(&["exec", "night.yaml", "--lab", "--no-input"]);
    let few = exec();
    assert_eq!(few.code, 0, "{few:?}");
    let asked = || std::fs::read_to_string(bed.path("asked")).unwrap().lines().count();
    assert_eq!(asked(), 2, "at the beginning and at the end");

    let rest = exec();
    assert!(rest.code == 10 && rest.stderr.contains("FAIL   quiet"), "{rest:?}");
    assert_eq!(asked(), 4, "true at first, and then no more");
    assert!(bed.run(&["status"]).stdout.contains("week: 1 of 4 hosts"), "the wave before stays done");

    let again = exec();
    assert!(again.code == 0 && again.stderr.contains("wave  rest, 2 of 2: 3 hosts"), "{again:?}");
    assert!(bed.run(&["status"]).stdout.contains("week: 4 of 4 hosts"));
}

/// The cross-check of the week holds for every run of it, whatever the inventory has become since the first.
#[test]
fn a_host_that_came_into_no_wave_stops_the_next_one() {
    let bed = Bed::new(WEEK);
    let exec = || bed.run(&["exec", "night.yaml", "--lab", "--no-input"]);
    assert_eq!(exec().code, 0);
    let week = std::fs::read_to_string(bed.path("night.yaml")).unwrap();
    bed.plan("night", &week.replace("hosts:\n  web:", "hosts:\n  db: [db1]\n  web:"));
    let refused = exec();
    assert!(refused.code == 2 && refused.stderr.contains("error[E041]: 1 host is in no wave: db1"), "{refused:?}");
    bed.plan(
        "night",
        &week
            .replace("{web: rest}}", "{web: rest, late: all}}")
            .replace("hosts:\n  web:", "hosts:\n  late: [web1]\n  web:"),
    );
    let refused = exec();
    assert!(
        refused.code == 2 && refused.stderr.contains("error[E041]: `web1` is in two waves: `few` and `rest`"),
        "{refused:?}"
    );
    assert_eq!((bed.runs(), touched(&bed)), (1, vec!["few web1".to_owned()]), "nothing was begun");

    bed.plan("night", &week);
    assert_eq!(exec().code, 0);
    assert_eq!(touched(&bed), ["few web1", "rest web2", "rest web3", "rest web4"]);
}

/// A week has no engine between its waves: whoever resumes the plan begins the next one.
#[test]
fn a_plan_is_resumed_between_two_waves() {
    let bed = Bed::new(WEEK);
    let failed = bed.run(&["exec", "night.yaml", "--lab", "--no-input", "--fail", "update@web1"]);
    assert_eq!(failed.code, 10, "{failed:?}");
    let resume = |what: &str| bed.run(&["resume", what, "--no-input"]);
    let again = resume("night");
    let words = "wave few, 1 of 2: rolled back (run night-a); it is the next one again";
    assert!(again.code == 0 && again.stderr.contains(words), "{again:?}");

    let rest = resume("night.yaml");
    let words = "wave few, 1 of 2: done (run night-b); next is rest, which opens Sun 02 17:00";
    assert!(rest.code == 0 && rest.stderr.contains(words), "{rest:?}");
    assert!(rest.stderr.contains("wave  rest, 2 of 2: 3 hosts"), "{rest:?}");
    assert_eq!(touched(&bed), ["few web1", "rest web2", "rest web3", "rest web4"]);
    bed.run(&["resume", "nigth.yaml"]).refused(2, &["there is no run `nigth.yaml`"]);
}

/// The same on real hosts, where the next wave has a window of its own.
#[test]
fn the_next_wave_is_resumed_when_its_window_is_open() {
    let bed = Bed::new(WEEK);
    let _farm = Farm::start(bed.dir.path(), 4);
    moved(&bed, -4);
    assert_eq!(bed.exec(&["--no-input"]).code, 0);
    let resume = || bed.run(&["resume", "night", "--detach", "--no-input", "--confirm", "night"]);
    let early = resume();
    early.refused(3, &["next is rest, which opens", "the window opens in", "--wait"]);
    assert_eq!((bed.runs(), touched(&bed).len()), (1, 1), "nothing was begun");

    moved(&bed, -28);
    let rest = resume();
    assert!(rest.code == 30 && rest.stderr.contains("wave  rest, 2 of 2: 3 hosts"), "{rest:?}");
    eventually("the gate is asked", || bed.run(&["approve", "rest"]).code == 0);
    assert_eq!(bed.run(&["attach", "--read-only"]).code, 0);
    assert_eq!(touched(&bed), ["few h1", "rest h2", "rest h3", "rest h4"]);
}
