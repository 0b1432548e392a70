//! The live area at well-known moments, at 80 and 100 columns, in ASCII and with block glyphs.

use runbook::engine::fact::{Fact, Pace};
use runbook::report::{Bell, Look, Popup, Said, Scene, frame};
use runbook::schedule::Odds;
use runbook::view::{Outlook, RunView};

use super::night::{Night, at};

fn drawn(view: &RunView, clock: &str, look: Look) -> String {
    let mut outlook = Outlook::default();
    drawn_with(view, outlook.look(view, at(clock)), clock, look)
}

fn drawn_with(view: &RunView, odds: Option<&Odds>, clock: &str, look: Look) -> String {
    let heard = |step: &str, host: &str| match (step, host) {
        ("deploy-backend", "be2") => {
            Some(Said { host: "be2".into(), line: "waiting for port 8081 ...\u{1b}[2J".into(), progress: None })
        }
        ("db-scripts", "db1") => Some(Said {
            host: "db1".into(),
            line: String::new(),
            progress: Some(runbook::report::Reported { share: 16.0 / 212.0, text: "16/212 alter table orders".into() }),
        }),
        _ => None,
    };
    let keys = "[n] note  [p] pause  [q] detach";
    let lines = frame(&Scene { view, look, now: at(clock), odds, heard: &heard, keys });
    let plain = anstream::adapter::strip_str(&lines.join("\n")).to_string();
    for line in plain.lines() {
        let columns = unicode_width::UnicodeWidthStr::width(line);
        assert!(columns < look.width, "{columns} columns: {line}");
    }
    plain
}

const WIDE: Look = Look { width: 100, ascii: true };
const NARROW: Look = Look { width: 80, ascii: true };

#[test]
fn at_0147_two_steps_run() {
    let view = Night::until_0147().view();
    insta::assert_snapshot!("m5-100", drawn(&view, "01:47:20", WIDE));
    insta::assert_snapshot!("m5-80", drawn(&view, "01:47:20", NARROW));
    insta::assert_snapshot!("m5-blocks", drawn(&view, "01:47:20", Look { width: 100, ascii: false }));
}

/// The night as a rehearsal that began when this clock showed 01:30, and is played this fast.
fn rehearsed(mut night: Night, speed: u32) -> RunView {
    let Fact::RunStarted(started) = &mut night.facts[0].fact else { panic!("the first fact") };
    started.options.rehearsal = Some(Pace { speed, began: at("01:30"), showed: at("01:30") });
    night.view()
}

/// Whoever looks at a terminal must not take one for the other.
#[test]
fn a_rehearsal_says_that_it_is_one() {
    assert!(!drawn(&Night::until_0147().view(), "01:47:20", WIDE).contains("REHEARSAL"));
    let first = drawn(&rehearsed(Night::until_0147(), 60), "01:47:20", NARROW).lines().next().unwrap().to_owned();
    assert!(first.ends_with(" REHEARSAL of 2007-12-02-a ---"), "{first}");
}

/// However slow this machine is, nothing is called late, and no time lost, that only waits to be recorded.
#[test]
fn the_clock_of_a_rehearsal_stands_still_at_what_is_due_next() {
    for (what, night, due) in [
        ("deploy-backend is expected to take 20m", Night::until_0147(), "01:59:40"),
        ("nobody answers, so it rolls back by itself", Night::until_0220(), "05:50:00"),
        ("of two undos of 15m and 30m one is over", Night::rolling_back(), "02:14:42"),
        ("nothing of a paused rollback is due but what runs", Night::rollback_paused(), "02:14:42"),
    ] {
        let view = rehearsed(night, 20_000);
        assert_eq!(view.on_its_clock(at("01:30:10")), at(due), "{what}");
        assert!(view.on_its_own(at("01:30:10")) > at("07:00"), "{what}; but where nobody drives it, time is lost");
    }
    let view = rehearsed(Night::until_0147(), 60);
    assert_eq!(view.on_its_clock(at("01:30:20")), at("01:49:48"), "before that it is as fast as it was told");
}

#[test]
fn before_the_window() {
    let view = Night::started().view();
    insta::assert_snapshot!(drawn(&view, "01:16:12", NARROW));
}

#[test]
fn the_client_is_asked() {
    let view = Night::until_0220().view();
    insta::assert_snapshot!("m8-100", drawn(&view, "02:20:30", WIDE));
    insta::assert_snapshot!("m8-80", drawn(&view, "02:20:30", NARROW));
}

#[test]
fn a_failure_holds_before_it_rolls_back() {
    let view = Night::failing().view();
    insta::assert_snapshot!("m10-hold", drawn(&view, "01:58:50", WIDE));
}

#[test]
fn rolling_back() {
    let view = Night::rolling_back().view();
    insta::assert_snapshot!("m10-100", drawn(&view, "02:09:15", WIDE));
    insta::assert_snapshot!("m10-80", drawn(&view, "02:09:15", NARROW));
}

#[test]
fn a_rollback_that_was_paused_says_so() {
    let view = Night::rollback_paused().view();
    insta::assert_snapshot!("m10-paused", drawn(&view, "02:09:15", NARROW));
    assert!(drawn(&view, "02:09:15", WIDE).contains(", est 45m\n"), "the numbers are cut");
    let left = runbook::report::summary::block(&view, at("02:09:15")).join("\n");
    assert!(left.contains("the rollback is paused: nothing more is undone until somebody answers"), "{left}");
}

#[test]
fn nothing_is_drawn_after_the_end() {
    assert_eq!(drawn(&Night::whole().view(), "05:02", WIDE), "");
}

#[test]
fn every_moment_fits_the_width() {
    for night in [Night::whole(), Night::rolled_back(), Night::stuck()] {
        for fact in &night.facts {
            let mut view = RunView::new(super::night::graph());
            night.facts.iter().take_while(|f| f.seq <= fact.seq).for_each(|f| view.apply(f));
            let mut outlook = Outlook::default();
            let odds = outlook.look(&view, fact.at);
            for width in [40, 60, 80, 100, 200] {
                let clock = runbook::report::Clock::new(Some("America/Toronto")).hms(fact.at);
                drawn_with(&view, odds, &clock, Look { width, ascii: false });
            }
        }
    }
}

/// The days of the limits stand in the first line when they are not of today: nothing of it is cut off.
#[test]
fn limits_of_tomorrow_fit_too() {
    let mut night = Night::until_0147();
    let evening = |at: jiff::Timestamp| at - jiff::SignedDuration::from_hours(5);
    night.facts.iter_mut().for_each(|fact| fact.at = evening(fact.at));
    let view = night.view();
    let now = evening(at("01:47:20"));
    for (width, cut) in [(100, "IF NOW up at "), (80, "IF NOW up at ")] {
        let heard = |_: &str, _: &str| None;
        let look = Look { width, ascii: true };
        let lines = frame(&Scene { view: &view, look, now, odds: None, heard: &heard, keys: "" });
        let plain = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        let first = plain.lines().nth(1).unwrap();
        let up = first.split_once(cut).map(|(_, up)| up.trim_end());
        assert!(up.is_some_and(|up| up.len() >= "21:32".len()) && first.contains("Sun 0"), "{width}: {first}");
    }
}

/// What the screen of a terminal of 80 columns and 30 rows holds after a night was watched on it.
fn watched(night: &Night) -> String {
    use indicatif::TermLike as _;
    let buffer = super::log::Buffer::default();
    let mut live = runbook::report::Live::on(Box::new(buffer.clone()), true, true, None);
    let mut view = RunView::new(super::night::graph());
    let mut now = night.facts[0].at;
    for turn in night.facts.chunk_by(|a, b| a.at == b.at) {
        while now < turn[0].at {
            runbook::report::Reporter::tick(&mut live, &view, now);
            now += jiff::SignedDuration::from_secs(60);
        }
        now = turn[0].at;
        turn.iter().for_each(|f| view.apply(f));
        runbook::report::Reporter::facts(&mut live, &view, turn, now);
    }
    runbook::report::Reporter::finish(&mut live, &view, now);
    let term = indicatif::InMemoryTerm::new(30, 80);
    term.write_str(&buffer.raw()).unwrap();
    term.contents()
}

#[test]
fn the_terminal_is_a_log_in_the_end() {
    insta::assert_snapshot!("m5-terminal-rolled-back", watched(&Night::rolled_back()));
    let good = watched(&Night::whole());
    assert!(good.contains("SUCCESS") && !good.contains("as of") && !good.contains("+----"), "{good}");
}

/// When a terminal that began to watch at `from` rang, and what it showed.
fn rung(night: &Night, from: &str) -> String {
    let mut bell = Bell::new(Some(Popup::Text));
    let mut view = RunView::new(super::night::graph());
    let clock = runbook::report::Clock::new(Some("America/Toronto"));
    let mut rung = String::new();
    for turn in night.facts.chunk_by(|a, b| a.at == b.at) {
        turn.iter().for_each(|f| view.apply(f));
        let now = turn[0].at;
        if now < at(from) {
            continue;
        }
        if let Some(call) = bell.call(&view, now) {
            let shown =
                call.strip_prefix("\u{7}\u{1b}]9;runbook: Call-centre release 2.4: ").unwrap().strip_suffix('\u{7}');
            rung += &format!("{} {}\n", clock.hms(now), shown.unwrap());
        }
    }
    rung
}

#[test]
fn a_terminal_calls_for_people_and_tells_of_a_rollback_and_of_the_end() {
    insta::assert_snapshot!("bell-good-night", rung(&Night::whole(), "01:00"));
    insta::assert_snapshot!("bell-rolled-back", rung(&Night::rolled_back(), "01:00"));
    insta::assert_snapshot!("bell-stuck", rung(&Night::stuck(), "01:00"));
}

#[test]
fn a_terminal_that_comes_later_does_not_ring_for_the_past() {
    let all = rung(&Night::rolled_back(), "01:00");
    let late = rung(&Night::rolled_back(), "02:10");
    assert!(!late.is_empty() && late.lines().count() < all.lines().count(), "{late}");
    assert!(all.ends_with(&late), "{late}");
    let mut bell = Bell::new(None);
    assert_eq!(bell.call(&Night::whole().view(), at("05:10")), None, "long over");
}
