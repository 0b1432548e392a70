//! From a failing test to the first undo: by the journal, and by the clock that both commands read on their hosts.

use runbook::engine::fact::Fact;
use runbook::graph::ids::Direction;
use runbook::journal::Store;

use super::{Farm, kit};

const PLAN: &str = "runbook: 1
name: A test that fails
window: {lasts: 2h}
hosts: {web: [h1, h2], judge: [h3]}
steps:
  deploy:
    hosts: web
    run: \"true\"
    rollback: date +%s%N >>DIR/undo
    estimate: 1s
  sanity:
    hosts: judge
    test: date +%s%N >DIR/failed; exit 1
    estimate: 1s
";

pub fn delay() {
    let farm = Farm::start(3, false);
    let (mut armed, mut launched, mut felt) = (Vec::new(), Vec::new(), Vec::new());
    let load = kit::Load::now();
    for _ in 0..kit::rounds(9) {
        let bed = farm.bed();
        bed.write("fails.yaml", &PLAN.replace("DIR", &bed.dir.path().display().to_string()));
        if bed.exec("fails.yaml", 10).is_none() {
            continue;
        }
        let facts = Store::open(&bed.path("store")).unwrap().facts("fails-a", 0).unwrap();
        let at = |wanted: &dyn Fn(&Fact) -> bool| facts.iter().find(|r| wanted(&r.fact)).unwrap().at;
        let failed = at(&|f| matches!(f, Fact::AttemptEnded { attempt, .. } if attempt.action.step() == "sanity"));
        let arm = at(&|f| matches!(f, Fact::AttemptArmed { attempt } if attempt.direction == Direction::Undo));
        let launch = at(&|f| matches!(f, Fact::AttemptLaunched { attempt } if attempt.direction == Direction::Undo));
        let ms = |from: jiff::Timestamp, to: jiff::Timestamp| to.duration_since(from).as_secs_f64() * 1e3;
        armed.push(ms(failed, arm));
        launched.push(ms(failed, launch));
        let read = |name: &str| -> Vec<f64> {
            let text = std::fs::read_to_string(bed.path(name)).unwrap();
            text.lines().map(|line| line.parse::<f64>().unwrap() / 1e6).collect()
        };
        felt.push(kit::range(&read("undo")).0 - read("failed")[0]);
    }
    println!("\nFailing test -> first undo, {} runs  ({})", felt.len(), load.since());
    println!("{:<64} {:>10} {:>16}", "", "median ms", "min-max");
    for (name, values) in [
        ("journal: outcome known -> undo decided and durable (armed)", &armed),
        ("journal: outcome known -> undo launched, confirmed by its host", &launched),
        ("clock of the hosts: end of the test -> first line of the undo", &felt),
    ] {
        let (low, high) = kit::range(values);
        println!("{name:<64} {:>10.1} {:>16}", kit::median(values), format!("{low:.1}-{high:.1}"));
    }
}
