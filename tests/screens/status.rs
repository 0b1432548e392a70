//! One screen, now: for the bridge, and for somebody who finds a run without an engine.

use runbook::engine::fact::{Fact, HoldAnswer, HoldReason};
use runbook::graph::ids::ActionId;
use runbook::report::status::{Engine, status, status_json};
use runbook::report::{Board, Look, say};

use runbook::view::Outlook;

use super::night::{Night, at};

fn engine(heartbeat: &str, live: bool) -> Engine {
    Engine { controller: "bastion".into(), owner: "Sarah".into(), heartbeat: at(heartbeat), live }
}

fn shown(night: &Night, clock: &str, engine: &Engine, width: usize) -> String {
    let (view, mut outlook) = (night.view_at(clock), Outlook::default());
    let odds = outlook.look(&view, at(clock));
    let lines = status(&view, Some(engine), odds, at(clock), Look { width, ascii: true });
    anstream::adapter::strip_str(&(lines.join("\n") + "\n")).to_string()
}

#[test]
fn an_hour_ahead() {
    let night = Night::until_0220();
    insta::assert_snapshot!("m7-100", shown(&night, "02:09:31", &engine("02:09:29", true), 100));
    let narrow = shown(&night, "02:09:31", &engine("02:09:29", true), 80);
    assert!(narrow.lines().all(|l| l.len() <= 80) && narrow.contains("if now: up at 03:04"), "{narrow}");
}

#[test]
fn nobody_drives_it() {
    let text = shown(&Night::until_0150(), "02:31:00", &engine("02:03:10", false), 100);
    assert!(text.contains("NO ENGINE\n  last heartbeat 02:03:10 (27m ago), bastion (Sarah)"), "{text}");
    assert!(text.contains("LOST  sanity-backend    40m of 20m-25m   be1 be2  was running when"), "{text}");
}

#[test]
fn rolling_back_and_after() {
    insta::assert_snapshot!(
        "m7-rolling-back",
        shown(&Night::rolling_back(), "02:09:15", &engine("02:09:13", true), 100)
    );
    let text = shown(&Night::rollback_paused(), "02:09:15", &engine("02:09:13", true), 100);
    assert!(text.contains("ROLLBACK PAUSED") && !text.contains("ROLLING BACK"), "{text}");
    let text = shown(&Night::stuck(), "02:29:00", &engine("02:28:58", true), 100);
    assert!(text.contains("HALF-WAY") && text.contains("callcentre-restore"), "{text}");
}

#[test]
fn the_document_says_the_same() {
    let view = Night::until_0220().view_at("02:09:31");
    let mut outlook = Outlook::default();
    let odds = outlook.look(&view, at("02:09:31"));
    let json = status_json(&view, Some(&engine("02:09:29", true)), odds, at("02:09:31"));
    let done = json["forecast"]["odds"]["done_by_close"].as_f64().unwrap();
    assert!((0.95..=1.0).contains(&done), "{done}");
    assert_eq!(json["state"], "running");
    assert_eq!(json["rollback"]["by"], "2007-12-02T05:50:00.000-05:00");
    assert_eq!(json["rollback"]["up_at"], "2007-12-02T03:04:31.000-05:00");
    assert_eq!(json["gates"][0]["gate"], "sanity-frontend");
    assert_eq!((json["done"].as_u64(), json["total"].as_u64()), (Some(8), Some(11)));
    let stuck = status_json(&Night::stuck().view(), None, None, at("02:29:00"));
    assert_eq!(stuck["stuck"][0]["command"], "callcentre-restore \"$PREVIOUS.dump\"");
}

fn said(night: &Night, clock: &str, engine: &Engine) -> String {
    say(&night.view_at(clock), Some(engine), at(clock))
}

fn held() -> Night {
    let mut night = Night::until_0150();
    let reason = HoldReason::Failed { actions: vec![ActionId::new("sanity-backend", Some("be1"))] };
    night.add("01:58:00", Fact::HoldOpened { reason, limit: Some(at("06:00")), default: HoldAnswer::Rollback });
    night
}

#[test]
fn a_run_is_said_in_a_few_sentences() {
    let alive = |clock| engine(clock, true);
    let nights = [
        ("two steps run", said(&Night::until_0147(), "01:47:20", &alive("01:47:19"))),
        ("it waits for the window", said(&Night::started(), "01:16:30", &alive("01:16:29"))),
        ("it is held", said(&held(), "02:00:00", &alive("01:59:59"))),
        ("a gate is open", said(&Night::until_0220(), "02:09:31", &alive("02:09:29"))),
        ("nobody drives it", said(&Night::until_0150(), "02:31:00", &engine("02:03:10", false))),
        ("it goes back", said(&Night::rolling_back(), "02:09:15", &alive("02:09:13"))),
        ("it is done", said(&Night::whole(), "05:02:00", &alive("05:01:59"))),
        ("it went back", said(&Night::rolled_back(), "02:50:00", &alive("02:49:59"))),
        ("half-way", said(&Night::stuck(), "02:29:00", &alive("02:28:58"))),
    ];
    let text: Vec<String> = nights.iter().map(|(when, text)| format!("{when}\n{text}\n")).collect();
    insta::assert_snapshot!("m7-say", text.join("\n"));
}

/// The lines of a log that watches a night, looking every 30 seconds.
fn logged(night: &Night) -> String {
    let mut board = Board::default();
    let mut view = runbook::view::RunView::new(super::night::graph());
    let mut log = String::new();
    for turn in night.facts.chunk_by(|a, b| a.at == b.at) {
        turn.iter().for_each(|f| view.apply(f));
        let clock = runbook::report::Clock::new(Some("America/Toronto"));
        let engine = engine(&clock.hms(turn[0].at), true);
        for _ in 0..2 {
            log.extend(board.change(&view, Some(&engine), turn[0].at).map(|line| line + "\n"));
        }
    }
    log
}

#[test]
fn a_log_has_a_line_for_each_change() {
    insta::assert_snapshot!("watch-good-night", logged(&Night::whole()));
    insta::assert_snapshot!("watch-rolled-back", logged(&Night::rolled_back()));
}

#[test]
fn a_screen_that_is_too_small_says_what_it_hides_and_leaves_nothing_behind() {
    use indicatif::TermLike as _;
    let mut board = Board::default();
    let term = indicatif::InMemoryTerm::new(5, 40);
    let lines = |n: usize| (1..=n).map(|i| format!("line {i}")).collect::<Vec<_>>();
    for n in [9, 4, 7] {
        term.write_str(&board.screen(lines(n), 40, 5)).unwrap();
    }
    assert_eq!(term.contents(), "line 1\nline 2\nline 3\n  + 4 lines more");
    term.write_str(&board.screen(lines(2), 40, 5)).unwrap();
    assert_eq!(term.contents(), "line 1\nline 2");
}
