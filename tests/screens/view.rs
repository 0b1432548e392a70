//! The read model's answers at well-known moments of the night.

use jiff::SignedDuration;
use runbook::view::{ActionState, Phase};

use super::night::{Night, at, minutes};

#[test]
fn the_plan_made_at_the_start_ends_where_the_dry_run_says() {
    let view = Night::started().view();
    assert_eq!(view.planned_finish(), Some(at("05:32")));
    assert_eq!(view.full_rollback(), minutes(55));
    let forecast = view.forecast(at("01:30"));
    assert_eq!(
        (forecast.finish, forecast.ahead, forecast.slack),
        (at("05:32"), SignedDuration::ZERO, Some(minutes(20)))
    );
}

#[test]
fn phases_follow_the_night() {
    let night = Night::rolled_back();
    let phase = |clock| night.view_at(clock).phase();
    assert_eq!(phase("01:20"), Phase::Waiting);
    assert_eq!(phase("01:30"), Phase::Running);
    assert_eq!(phase("01:59"), Phase::Holding);
    assert_eq!(phase("02:10"), Phase::RollingBack);
    assert_eq!(phase("02:34"), Phase::Ended);
}

#[test]
fn at_0147_two_steps_run_and_the_run_is_ahead() {
    let view = Night::until_0147().view();
    let now = at("01:47:20");
    let names: Vec<&str> = view.active().iter().map(|r| r.step.id.as_str()).collect();
    assert_eq!(names, ["deploy-backend", "db-scripts"], "longest-running first");
    assert_eq!(view.steps_done(), 4);
    assert_eq!(view.room(now), Some(SignedDuration::from_secs(4 * 3600 + 12 * 60 + 40)));
    assert_eq!(view.up_again(now), at("02:32:20"));
    let forecast = view.forecast(now);
    assert!(forecast.ahead > minutes(9) && forecast.ahead < minutes(11), "{:?}", forecast.ahead);
}

#[test]
fn a_rollback_counts_only_what_may_have_run_and_can_be_undone() {
    let view = Night::rolling_back().view();
    let progress = view.rollback_progress().unwrap();
    assert_eq!((progress.undone, progress.to_undo), (0, 4), "two stops, back-end, scripts; not the backup");
    let view = Night::rolled_back().view();
    assert_eq!(view.rollback_progress().unwrap().undone, 4);
    assert_eq!(view.row_by_name("stop-frontend").unwrap().state, ActionState::Undone);
    assert_eq!(view.row_by_name("announce").unwrap().state, ActionState::Waiting);
}

#[test]
fn up_again_is_expected_from_what_is_left_to_undo() {
    let view = Night::rolling_back().view();
    // db-scripts until 02:29:42, then the front-end's start 5m, then the proof 10m.
    assert_eq!(view.up_again(at("02:09:15")), at("02:44:42"));
}

#[test]
fn the_stuck_table_names_host_state_and_the_next_command() {
    let rows = Night::stuck().view().stuck_rows();
    let first = &rows[0];
    assert_eq!((first.host.as_str(), first.step.as_str(), first.state), ("db1", "db-scripts", "new?"));
    assert_eq!(first.command.as_deref(), Some("callcentre-restore \"$PREVIOUS.dump\""));
    let front = rows.iter().find(|r| r.host == "fe1").unwrap();
    assert_eq!(front.command.as_deref(), Some("systemctl start callcentre-fe"));
    assert!(rows.iter().any(|r| r.host == "be1" && r.state == "old"));
}

#[test]
fn an_applied_fact_is_ignored_the_second_time() {
    let night = Night::until_0147();
    let mut view = night.view();
    let events = view.events().len();
    night.facts.iter().for_each(|f| view.apply(f));
    assert_eq!(view.events().len(), events);
}

#[test]
fn every_prefix_of_every_night_folds_and_answers() {
    for night in [Night::whole(), Night::rolled_back(), Night::stuck()] {
        let mut view = runbook::view::RunView::new(super::night::graph());
        for fact in &night.facts {
            view.apply(fact);
            let forecast = view.forecast(fact.at);
            assert!(forecast.finish >= at("01:30"));
            assert_eq!(view.hold_answers(fact.at).is_empty(), view.hold().is_none());
            assert!(view.stuck_rows().len() <= view.actions().len());
            assert!(view.rows().all(|r| r.counts.iter().sum::<u32>() == r.total));
        }
    }
}

/// What a narrowed run leaves out takes no time, also before its window opens.
#[test]
fn a_narrowed_run_is_looked_at_without_what_it_leaves_out() {
    use runbook::engine::fact::Fact;
    use runbook::schedule::Standing;
    let mut night = Night::started();
    let whole = night.view().situation(at("01:16")).unwrap();
    assert!(whole.actions.iter().all(|a| *a == Standing::Waiting));
    for record in &mut night.facts {
        if let Fact::RunStarted(header) = &mut record.fact {
            header.options.narrowed = vec!["landing-test".into()];
            header.options.hosts_left_out = vec!["fe2".into()];
        }
    }
    let narrowed = night.view().situation(at("01:16")).unwrap();
    let skipped = narrowed.actions.iter().filter(|a| **a == Standing::Skipped).count();
    let graph = super::night::graph();
    let wanted = graph.actions().iter().filter(|a| a.id.host() == Some("fe2") || a.id.step() == "landing-test").count();
    assert_eq!(skipped, wanted);
}
