//! People who are not at a terminal are told by the channels of the plan, and no channel can hold up a run.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use runbook::engine::fact::{Fact, RunEnd};
use serde_json::Value;

use crate::exec::{Bed, GATED, NIGHT, eventually, is_engine};
use crate::harness::room::{Answer, Room, mailer};
use crate::terminal::Terminal;

fn telling(plan: &str, channels: &str) -> Bed {
    Bed::new(&plan.replace("\nsteps:", &format!("\nnotify: {channels}\nsteps:")))
}

fn by_webhook(plan: &str, room: &Room) -> Bed {
    telling(plan, &format!("[{{webhook: \"{}\"}}]", room.url))
}

/// What the engine itself has noted.
fn notes(bed: &Bed) -> Vec<String> {
    let noted = |fact| match fact {
        Fact::Noted { text, by } if by.name == "runbook" => Some(text),
        _ => None,
    };
    bed.facts("night-a").into_iter().filter_map(noted).collect()
}

fn log(bed: &Bed) -> String {
    fs::read_to_string(bed.path("store/runs/night-a/engine.log")).unwrap_or_default()
}

#[test]
fn a_webhook_is_told_when_somebody_is_needed_and_how_it_ended() {
    let room = Room::new(&[Answer::Status(204)]);
    let bed = by_webhook(GATED, &room);
    assert_eq!(bed.exec(&["--detach"]).code, 30);
    eventually("the room hears of the gate", || room.all("event") == ["run_started", "gate_opened"]);
    assert_eq!(bed.run(&["approve", "ask"]).code, 0);
    eventually("the room hears of the end", || room.told().len() == 3);
    assert_eq!(room.all("event"), ["run_started", "gate_opened", "run_ended"]);
    assert_eq!(room.all("headline"), ["started", "ask is asked", "done"]);
    assert_eq!(room.all("step"), ["", "ask", ""]);
    let ids = room.all("id");
    assert!(ids.iter().all(|id| id.starts_with("night-a/")) && ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    let text = &room.all("text")[1];
    assert!(text.starts_with("A gated night: ask is asked. It is ") && text.contains("turn of a person"), "{text}");
    assert_eq!(notes(&bed), [""; 0]);
}

#[test]
fn a_run_does_not_wait_for_a_webhook_that_hangs() {
    let room = Room::new(&[Answer::Never]);
    let bed = by_webhook(NIGHT, &room);
    let said = bed.exec(&[]);
    assert_eq!((said.code, bed.effects()), (0, vec!["one".to_owned(), "two".to_owned()]), "{said:?}");
    assert!(matches!(bed.ended("night-a"), RunEnd::Succeeded { .. }));
    // The first message is still in the air when everything is over, the command of the person included.
    eventually("the room was told", || room.open.lock().unwrap().len() == 1);
    let stream = room.open.lock().unwrap().pop().unwrap();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "the engine waits in vain");
}

#[test]
fn a_message_that_was_not_taken_is_sent_again_as_the_same_one() {
    let room = Room::new(&[Answer::Status(500), Answer::Status(500), Answer::Status(200)]);
    let bed = by_webhook(NIGHT, &room);
    bed.held();
    eventually("the third try", || room.told().len() == 3);
    bed.let_go();
    eventually("the end is told", || room.told().len() == 4);
    let ids = room.all("id");
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert_eq!(room.all("event")[2..], ["run_started", "run_ended"]);
    assert_eq!(notes(&bed), [""; 0]);
}

#[test]
fn a_webhook_that_is_down_is_said_once_in_the_timeline_without_its_address() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = format!("http://sarah:hidden-1@127.0.0.1:{port}/hooks/hidden-2");
    let bed = telling(NIGHT, &format!("[{{webhook: \"{down}\"}}]"));
    bed.held();
    eventually("the timeline says so", || !notes(&bed).is_empty());
    bed.let_go();
    assert!(matches!(bed.ended("night-a"), RunEnd::Succeeded { .. }));
    eventually("the engine gives up", || log(&bed).contains("night-a/1 was not delivered"));
    let notes = notes(&bed);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("messages do not arrive by webhook 1 (127.0.0.1): "), "{notes:?}");
    assert!(notes[0].contains("refused"), "{notes:?}");
    assert!(!format!("{notes:?}{}", log(&bed)).contains("hidden"), "{notes:?}\n{}", log(&bed));
}

#[test]
fn nobody_is_told_of_what_happens_in_the_lab() {
    let room = Room::new(&[Answer::Status(200)]);
    let bed = by_webhook(NIGHT, &room);
    assert_eq!(bed.exec(&["--lab"]).code, 0);
    eventually("the log has the messages", || log(&bed).contains("A small night: done. "));
    let log = log(&bed);
    assert!(log.contains("not sent by webhook 1 (127.0.0.1): A small night: started. "), "{log}");
    assert!(!log.contains("hidden"), "{log}");
    assert!(room.told().is_empty());
}

#[test]
fn a_command_gets_the_message_in_the_plans_folder() {
    let bed = telling(NIGHT, "[{command: cat >> told}]");
    assert_eq!(bed.exec(&[]).code, 0);
    let told = || fs::read_to_string(bed.path("told")).unwrap_or_default();
    eventually("the end is told", || told().contains("run_ended"));
    let messages: Vec<Value> = serde_json::Deserializer::from_str(&told()).into_iter().map(Result::unwrap).collect();
    let events: Vec<&str> = messages.iter().filter_map(|message| message["event"].as_str()).collect();
    assert_eq!(events, ["run_started", "run_ended"]);
}

#[test]
fn a_command_that_hangs_holds_up_nobody_and_does_not_outlive_its_engine() {
    let bed = telling(NIGHT, "[{command: echo $$ > told.new; mv told.new told; exec sleep 1000}]");
    assert_eq!((bed.exec(&[]).code, bed.effects().len()), (0, 2));
    let engine = bed.store().run("night-a").unwrap().lease.unwrap().pid;
    assert!(is_engine(engine), "the engine waits for the command, and `exec` for neither");
    eventually("the command begins", || bed.path("told").exists());
    let pid = fs::read_to_string(bed.path("told")).unwrap();
    eventually("the engine ends", || !is_engine(engine));
    let line = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    assert!(!line.starts_with(b"sleep"), "{pid} is still there");
}

#[test]
fn a_mail_goes_to_the_program_of_the_settings() {
    let bed = telling(NIGHT, "[{mail: [ops@example.com, -oQ/tmp]}]");
    mailer(&bed);
    assert_eq!(bed.exec(&[]).code, 0);
    let mail = || fs::read_to_string(bed.path("mail")).unwrap_or_default();
    eventually("the end is mailed", || mail().contains("\nSubject: A small night: done\n"));
    let called = fs::read_to_string(bed.path("called")).unwrap();
    assert_eq!(called.lines().collect::<Vec<_>>(), ["-i -- ops@example.com -oQ/tmp"; 2]);
    assert!(
        mail().starts_with("To: ops@example.com, -oQ/tmp\n") && mail().contains("\n\ndone\n\nIt is "),
        "{}",
        mail()
    );
}

#[test]
fn a_failure_that_holds_the_run_is_one_message_that_says_how_it_failed() {
    let room = Room::new(&[Answer::Status(204)]);
    let bed = by_webhook(&GATED.replace("run: echo one >> DIR/effects", "run: exit 3"), &room);
    let mut terminal = Terminal::of(&bed, &["exec", "night.yaml"]);
    terminal.shows("anything else leaves");
    terminal.press("night\n");
    eventually("the room hears of the hold", || room.told().len() == 2);
    assert_eq!(bed.run(&["skip", "one", "-m", "it is old"]).code, 0);
    eventually("the room hears of the gate", || room.told().len() == 3);
    assert_eq!(room.all("event"), ["run_started", "hold_opened", "gate_opened"]);
    assert_eq!(room.all("headline")[1], "held, one here failed (exit 3)");
    assert_eq!(bed.run(&["approve", "ask"]).code, 0);
    terminal.ends();
}

#[test]
fn a_failure_that_rolls_back_is_one_message_too() {
    let room = Room::new(&[Answer::Status(204)]);
    let bed = by_webhook(&GATED.replace("run: echo one >> DIR/effects", "run: exit 3"), &room);
    assert_eq!(bed.exec(&[]).code, 10);
    eventually("the room hears of the end", || room.told().len() == 3);
    assert_eq!(room.all("event"), ["run_started", "rollback_decided", "run_ended"]);
    assert_eq!(room.all("headline")[1], "rollback begins, one here failed (exit 3)");
}

/// Puts a template beside the plan.
fn template(bed: &Bed, name: &str, text: &str) {
    fs::create_dir_all(bed.path("templates")).unwrap();
    fs::write(bed.path("templates").join(name), text).unwrap();
}

#[test]
fn people_are_told_in_the_words_of_the_plan() {
    let room = Room::new(&[Answer::Status(204)]);
    let channels = format!(
        "[{{webhook: \"{}\", template: chat.json.j2}}, {{command: cat >> told, template: pager.j2}}, {{mail: ops@example.com, template: pager.j2}}]",
        room.url
    );
    let bed = telling(&GATED.replace("A gated night", "'Tom \"the cat\" & co'"), &channels);
    template(&bed, "chat.json.j2", "{\"channel\": \"#ops\", \"say\": {{ title }}, \"about\": {{ step }}}\n");
    template(&bed, "pager.j2", "{{ event }}{% if step %} in {{ step }}{% endif %}: {{ title }}\n");
    mailer(&bed);
    let said = bed.exec(&["--detach"]);
    assert!(said.code == 30 && !said.stderr.contains("nobody will be told"), "{said:?}");
    let told = || fs::read_to_string(bed.path("told")).unwrap_or_default();
    let title = "Tom \"the cat\" & co";
    let lines = format!("run_started: {title}gate_opened in ask: {title}");
    eventually("all three are told", || room.told().len() == 2 && told() == lines);
    let mail = || fs::read_to_string(bed.path("mail")).unwrap_or_default();
    eventually("the mail is written", || mail().ends_with(&format!("\n\ngate_opened in ask: {title}\n")));
    assert!(mail().contains(&format!("\nSubject: {title}: ask is asked\n")), "{}", mail());
    assert_eq!(room.all("say"), [title, title]);
    assert_eq!((room.told()[0]["about"].is_null(), room.all("about")[1].as_str()), (true, "ask"));
    // What was approved is said, whatever becomes of the file.
    template(&bed, "pager.j2", "{{ nothing_of_it }}");
    assert_eq!(bed.run(&["approve", "ask"]).code, 0);
    eventually("the end is told", || told() == format!("{lines}run_ended: {title}"));
}

#[test]
fn a_template_that_cannot_be_rendered_is_found_by_check() {
    let bed = telling(
        NIGHT,
        "
  - {command: cat, template: a.j2}
  - {command: cat, template: b.j2}
  - {webhook: \"https://chat.example.com/x\", template: c.json.j2}
  - {webhook: \"https://chat.example.com/x\", template: d.txt}
  - {mail: ops@example.com, template: missing.j2}",
    );
    template(&bed, "a.j2", "fine\n{{ headlin }}\n");
    template(&bed, "b.j2", "{% if step %}\n");
    template(&bed, "c.json.j2", "{\n  \"text\": \"{{ text }}\"\n}\n");
    template(&bed, "d.txt", "{{ text }}");
    let said = bed.run(&["check", "night.yaml"]);
    for words in [
        "a.j2:2: `headlin` is undefined",
        "did you mean `headline`?",
        "night.yaml:4:",
        "b.j2:",
        "c.json.j2:2: what it makes is no JSON",
        "`d.txt` does not say that it is JSON",
        "call it NAME.json.j2",
        "file `missing.j2` not found",
    ] {
        assert!(said.code == 2 && said.stdout.contains(words), "{words}:\n{}", said.stdout);
    }
}

#[test]
fn the_preflight_says_which_channels_cannot_work_and_the_night_takes_place() {
    let bed = telling(
        NIGHT,
        "[{webhook: \"http://no-such-host.invalid/hidden\"}, {webhook: \"http://[hidden\"}, {command: no-such-pager --now}, {command: cat}, {mail: ops@example.com}]",
    );
    fs::write(bed.path("runbook.toml"), "sendmail = \"no-such-mailer\"\n").unwrap();
    let said = bed.exec(&[]);
    assert_eq!((said.code, bed.effects().len()), (0, 2), "{said:?}");
    for words in [
        "warn  nobody will be told by webhook 1 (no-such-host.invalid): the name of its host is not known here",
        "warn  nobody will be told by webhook 2: its address cannot be read",
        "warn  nobody will be told by command 3: there is no program `no-such-pager`",
        "no-such-mailer does not exist",
    ] {
        assert!(said.stderr.contains(words), "{words}:\n{}", said.stderr);
    }
    assert!(!said.stderr.contains("hidden") && !said.stderr.contains("command 4"), "{}", said.stderr);
    let lab = bed.run(&["exec", "night.yaml", "--lab"]);
    assert!(!lab.stderr.contains("nobody will be told"), "{lab:?}");
}
