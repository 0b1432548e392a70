//! What people are told who are not at a terminal, in the nights of the screens.

use runbook::report::notice::notice;
use runbook::view::RunView;

use super::night::Night;

/// Every message of a night, as it would have been sent.
fn told(night: &Night) -> String {
    let mut view = RunView::new(super::night::graph());
    let mut told = String::new();
    for turn in night.facts.chunk_by(|a, b| a.at == b.at) {
        let before = view.events().len();
        turn.iter().for_each(|f| view.apply(f));
        for message in view.events()[before..].iter().filter_map(|event| notice(&view, event)) {
            told +=
                &format!("{} {}\n  {}\n  {}\n", message.id, message.kind.word(), message.headline, message.standing);
        }
    }
    told
}

#[test]
fn a_good_night() {
    insta::assert_snapshot!("notices-good-night", told(&Night::whole()));
}

#[test]
fn a_night_that_is_rolled_back() {
    insta::assert_snapshot!("notices-rolled-back", told(&Night::rolled_back()));
}

#[test]
fn a_night_that_ends_half_way() {
    insta::assert_snapshot!("notices-stuck", told(&Night::stuck()));
}

#[test]
fn no_text_breaks_the_document() {
    let mut view = RunView::new(super::night::graph());
    let mut night = Night::started();
    if let runbook::engine::fact::Fact::RunStarted(started) = &mut night.facts[0].fact {
        started.title = "\"}, \\ {{ x }} \u{1b}]2;y\u{7}\n</script>".into();
    }
    view.apply(&night.facts[0]);
    let message = notice(&view, &view.events()[0]).unwrap();
    let document: serde_json::Value = serde_json::from_str(&message.document().unwrap()).unwrap();
    assert_eq!(document["title"], r#""}, \ {{ x }} \e]2;y\x07\n</script>"#);
    assert_eq!((document["event"].as_str(), document["step"].is_null()), (Some("run_started"), true));
}
