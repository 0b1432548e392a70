//! Where messages of `notify` arrive: a chat room that is told by webhook, and a program that takes mail.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::exec::Bed;

/// How a chat room answers.
#[derive(Clone, Copy)]
pub enum Answer {
    Status(u16),
    /// Takes the message, and says nothing as long as it lives.
    Never,
}

/// A room that is told by webhook. It keeps what it is told.
pub struct Room {
    pub url: String,
    told: Arc<Mutex<Vec<Value>>>,
    /// Connections that were not answered.
    pub open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Room {
    /// Answers as in `answers`, and from then on as in the last of them.
    pub fn new(answers: &[Answer]) -> Self {
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

    pub fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }

    /// One key of every message.
    pub fn all(&self, key: &str) -> Vec<String> {
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

/// A program of the settings that is called as `sendmail` is. `called` has its arguments, a line for each call, `mail` the newest mail.
pub fn mailer(bed: &Bed) {
    let program = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> DIR/called\ncat > DIR/mail.new && mv DIR/mail.new DIR/mail\n";
    fs::write(bed.path("mailer"), program.replace("DIR", bed.dir.path().to_str().unwrap())).unwrap();
    fs::set_permissions(bed.path("mailer"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(bed.path("runbook.toml"), "sendmail = \"mailer\"\n").unwrap();
}
