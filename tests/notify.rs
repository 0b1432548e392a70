//! People who are not at a terminal are told by the channels of the plan, and no channel can hold up a run.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use runbook::engine::fact::{Fact, RunEnd};
use serde_json::Value;

use crate::exec::{Bed, GATED, NIGHT, eventually, is_engine};

/// How a chat room answers.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    /// Takes the message, and says nothing as long as it lives.
    Never,
}

/// A room that is told by webhook. It keeps what it is told.
struct Room {
    url: String,
    told: Arc<Mutex<Vec<Value>>>,
    /// Connections that were not answered.
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Room {
    /// Answers as in `answers`, and from then on as in the last of them.
    fn new(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://sarah:hidden-1@{}/hooks/hidden-2", listener.local_addr().unwrap());
        let room = Self { url, told: Arc::default(), open: Arc::default() };
        let (told, open, answers) = (room.told.clone(), room.open.clone(), answers.to_vec());
        // The thread ends with the process of the test.
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                told.lock().unwrap().push(message(&stream));
                match answers[n.min(answers.len() - 1)] {
                    Answer::Never => open.lock().unwrap().push(stream),
                    Answer::Status(status) => {
                        let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                }
            }
        });
        room
    }

    fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }

    /// One key of every message.
    fn all(&self, key: &str) -> Vec<String> {
        self.told().iter().map(|message| message[key].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// The body of a request.
fn message(stream: &TcpStream) -> Value {
    let mut lines = BufReader::new(stream);
    let (mut length, mut is_json) = (0, false);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let line = line.trim_end().to_lowercase();
        match line.split_once(": ") {
            Some(("content-length", n)) => length = n.parse().unwrap(),
            Some(("content-type", kind)) => is_json = kind == "application/json",
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    assert!(is_json);
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

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
    let stand_in = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> DIR/called\ncat > DIR/mail.new && mv DIR/mail.new DIR/mail\n";
    fs::write(bed.path("mailer"), stand_in.replace("DIR", bed.dir.path().to_str().unwrap())).unwrap();
    fs::set_permissions(bed.path("mailer"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(bed.path("runbook.toml"), "sendmail = \"mailer\"\n").unwrap();
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
