//! The week planner: a plan in waves against the times that owners accept, calendars, and notices.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use runbook::cli::diagnostics::{Canvas, render};
use runbook::cli::load::{LoadError, Loaded, load};
use runbook::cli::review::review;
use runbook::cli::save::{write_calendar, write_notices};
use runbook::report::WeekPage;
use runbook::report::week::{Verdict, Week};

use super::exec::{Bed, eventually};
use super::harness::room::{Answer, Room, mailer};

const GROUPS: &str = r#"
a: [web1, web2, web3, web4]
hu: {hosts: [web1], owner: hu, maintenance: {days: [mon-thu], between: "22:00-04:00", timezone: Europe/Berlin, notice: 72h}}
acme: {hosts: [web2, web3], owner: "Acme; Ltd", maintenance: {days: [tue], between: "17:30-23:00"}}
"#;

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("mode");
}

/// A week of two waves over four hosts.
fn plan(folder: &Path, groups: &str) -> Result<Loaded, String> {
    write(&folder.join("groups.yaml"), groups);
    let text = "runbook: 1\nname: A week\ntimezone: UTC\ninventory: groups.yaml\ncovers: all\n\
                people: {hu: {name: Ms. Hu, mail: hu@example.org}}\n\
                steps:\n  update: {hosts: wave, run: update, estimate: 20m-40m, rollback: {run: back, estimate: 10m}}\n\
                waves:\n\
                \x20 - {name: few, opens: \"2026-12-01 17:00\", closes: \"21:00\", hosts: {a: 75%}}\n\
                \x20 - {name: rest, opens: \"2026-12-02 21:00\", closes: \"23:30\", hosts: {a: rest}}\n";
    write(&folder.join("week.yaml"), text);
    load(&folder.join("week.yaml"), &[]).map_err(|e| match e {
        LoadError::Invalid { text, diagnostics } => render(&text, &diagnostics, Canvas::Plain),
        other => other.to_string(),
    })
}

#[test]
fn each_wave_is_held_against_the_times_of_its_hosts() {
    let bed = tempfile::tempdir().expect("a folder");
    let loaded = plan(bed.path(), GROUPS).expect("a good plan");
    let week = Week::of(&loaded.plan);
    assert_eq!(week.bound, 3);
    let told: Vec<_> = week.meetings.iter().map(|m| (m.wave, m.hosts.join(" "), m.verdict)).collect();
    assert_eq!(told, [(0, "web1".into(), Verdict::Broken), (0, "web2 web3".into(), Verdict::Perhaps)]);
    let (plan, file) = (&loaded.plan, "week.yaml");
    let page = WeekPage { plan, week: &week, odds: &[], file, digest: &loaded.digest, findings: &[] };
    let page = runbook::report::wave_lines(&page, 100).join("\n");
    let line = "Times:       3 hosts say when they may be worked on: not kept for 1, perhaps not kept for 2";
    assert!(page.contains(line), "{page}");
    let broken = &week.meetings[0];
    assert_eq!(broken.elsewhere, [1], "the second wave begins at 22:00 in Berlin");
    let next = broken.next.expect("the same night");
    assert_eq!(
        (next.0.to_string().as_str(), next.1.to_string().as_str()),
        ("2026-12-01T21:00:00Z", "2026-12-02T03:00:00Z")
    );
}

#[test]
fn check_shows_the_wave_the_agreement_and_a_way_out() {
    let bed = tempfile::tempdir().expect("a folder");
    let loaded = plan(bed.path(), GROUPS).expect("a good plan");
    let now = "2026-11-30T17:00:00Z".parse().expect("a time");
    let reviewed = review(&loaded.plan, &loaded.places, &loaded.source, now);
    let said =
        render(&loaded.source, &reviewed.found, Canvas::Plain).replace(&format!("{}/", bed.path().display()), "");
    for part in [
        "warning[W115]: wave `few` is at no accepted time for web1",
        "week.yaml:10:12",
        "groups.yaml:3:",
        "Mon-Thu 22:00-04:00 Europe/Berlin (72h notice)",
        "next accepted: 2026-12-01 21:00-Wed 03:00; wave rest would suit",
        "warning[W116]: wave `few` may reach web2 and web3 outside of the accepted times",
        "warning[W117]: wave `few` opens in 24h, but 72h of notice are agreed for web1",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let early = review(&loaded.plan, &loaded.places, &loaded.source, "2026-11-01T00:00:00Z".parse().expect("a time"));
    assert!(!early.found.iter().any(|d| d.code == "W117"), "there is time enough");
}

#[test]
fn times_that_cannot_be_read_are_an_error_in_the_inventory() {
    let bed = tempfile::tempdir().expect("a folder");
    let said = plan(bed.path(), "a: {hosts: [web1], maintenance: {days: [someday]}}\n").expect_err("a mistake");
    assert!(
        said.contains("error[E042]: `maintenance` has no day `someday`") && said.contains("groups.yaml:1:"),
        "{said}"
    );
    let said = plan(bed.path(), "a: {hosts: [web1], maintenance: nights}\n").expect_err("a mistake");
    assert!(said.contains("says neither days nor hours"), "{said}");
    // Another tool's variable of that name is only a variable.
    plan(bed.path(), "[a]\nweb1 maintenance=true\nweb2 maintenance=\"{'window': 3}\"\n").expect("a good plan");
    let ini = "[a]\nweb1 maintenance=\"{'days': ['mon'], 'between': '20:00-04:00'}\"\n";
    assert_eq!(Week::of(&plan(bed.path(), ini).expect("a good plan").plan).bound, 1);
}

#[test]
fn a_calendar_has_an_event_per_wave_or_per_owner() {
    let bed = tempfile::tempdir().expect("a folder");
    let loaded = plan(bed.path(), GROUPS).expect("a good plan");
    let file = bed.path().join("week.ics");
    let events = |by_owner| {
        write_calendar(&loaded, &file, by_owner).expect("written");
        let text = fs::read_to_string(&file).expect("readable").replace("\r\n ", "");
        text.split("\r\n")
            .filter(|l| ["UID", "SUM", "DTS", "ATT"].contains(&l.get(..3).unwrap_or("")))
            .filter(|l| !l.starts_with("DTSTAMP"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        events(false),
        [
            "UID:week/few@runbook",
            "DTSTART:20261201T170000Z",
            "SUMMARY:A week: few (3 hosts)",
            "UID:week/rest@runbook",
            "DTSTART:20261202T210000Z",
            "SUMMARY:A week: rest (1 host)",
        ]
    );
    assert_eq!(
        events(true),
        [
            "UID:week/few/hu@runbook",
            "DTSTART:20261201T170000Z",
            "SUMMARY:A week: 1 host of Ms. Hu",
            "ATTENDEE;CN=\"Ms. Hu\";ROLE=NON-PARTICIPANT:mailto:hu@example.org",
            "UID:week/few/Acme\\; Ltd@runbook",
            "DTSTART:20261201T170000Z",
            "SUMMARY:A week: 2 hosts of Acme\\; Ltd",
            "UID:week/rest/nobody@runbook",
            "DTSTART:20261202T210000Z",
            "SUMMARY:A week: 1 host without an owner",
        ]
    );
}

#[test]
fn each_owner_gets_one_notice() {
    let bed = tempfile::tempdir().expect("a folder");
    let loaded = plan(bed.path(), GROUPS).expect("a good plan");
    let (file, folder) = (bed.path().join("week.yaml"), bed.path().join("notices"));
    let said = write_notices(&loaded, &file, &folder).expect("written");
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[2].contains("nobody is told of 1 host"), "{said:?}");
    let text = fs::read_to_string(folder.join("hu.txt")).expect("readable");
    assert!(
        text.starts_with("To: Ms. Hu <hu@example.org>\nSubject: A week: maintenance of 1 of your hosts\n\n"),
        "{text}"
    );
    assert!(text.contains("Tuesday 1 Dec 2026 17:00 - 21:00   web1") && text.contains("not what we agreed"), "{text}");
    assert!(folder.join("Acme--Ltd.txt").exists(), "a name becomes a file's name");
    // The plan's own template goes before ours, and its mistakes are named.
    fs::create_dir_all(bed.path().join("templates/notices")).expect("a folder");
    let own = bed.path().join("templates/notices/notice.txt.j2");
    fs::write(&own, "{{ owner }}: {{ waves[0].hosts[0] }}\n").expect("written");
    write_notices(&loaded, &file, &folder).expect("written");
    assert_eq!(fs::read_to_string(folder.join("hu.txt")).expect("readable"), "hu: web1\n");
    fs::write(&own, "\n{{ onwer }}\n").expect("written");
    let e = write_notices(&loaded, &file, &folder).expect_err("a mistake");
    assert!(format!("{e:?}").contains("notice.txt.j2:2 cannot be rendered: "), "{e:?}");
}

#[test]
fn an_owner_cannot_write_into_the_head_of_the_mail_or_leave_the_folder() {
    let bed = tempfile::tempdir().expect("a folder");
    let groups = "a: {hosts: [web1], owner: \"../../x\\nBcc: all@example.org\"}\n";
    let loaded = plan(bed.path(), groups).expect("a good plan");
    let folder = bed.path().join("notices");
    write_notices(&loaded, &bed.path().join("week.yaml"), &folder).expect("written");
    let files: Vec<_> = fs::read_dir(&folder).expect("there").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = fs::read_to_string(&files[0]).expect("readable");
    assert!(!text.lines().any(|l| l.starts_with("Bcc:")), "{text}");
}

/// A week whose owners are told by a command.
fn told_by(command: &str) -> Bed {
    told_by_channel(&format!("command: {command:?}"))
}

fn told_by_channel(channel: &str) -> Bed {
    let bed = Bed::new("runbook: 1\nname: n\nsteps:\n  one: {hosts: local, test: \"true\", estimate: 1m}\n");
    plan(bed.dir.path(), GROUPS).expect("a good plan");
    let text = fs::read_to_string(bed.path("week.yaml")).expect("readable");
    write(&bed.path("week.yaml"), &format!("{text}notify: [{{{channel}}}]\n"));
    bed
}

/// Sends what is to be sent.
const CONFIRMED: [&str; 5] = ["notify", "week.yaml", "--no-input", "--confirm", "week"];

/// What the command was told: one document a line.
fn documents(bed: &Bed) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(bed.path("told")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect()
}

#[test]
fn owners_are_told_once_by_the_channels_of_the_plan() {
    let bed = told_by("cat >> told");
    let notify = |more: &[&str]| bed.run(&[&["notify", "week.yaml"], more].concat());
    let dry = notify(&["--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    for words in
        ["Ms. Hu", "1 host in few", "command 1", "to be sent", "nobody is told of 1 host", "2 notices would be sent"]
    {
        assert!(dry.stderr.contains(words), "{words}: {dry:?}");
    }
    notify(&["--no-input"]).refused(3, &["nobody can be asked", "--confirm week"]);
    notify(&["--no-input", "--confirm", "other"]).refused(3, &["the plan is called `week`"]);
    assert_eq!(documents(&bed).len(), 0, "nothing has left");

    let confirmed = ["--no-input", "--confirm", "week"];
    let sent = notify(&confirmed);
    assert!(sent.code == 0 && sent.stderr.contains("sent to Ms. Hu by command 1"), "{sent:?}");
    let first = documents(&bed);
    assert_eq!(first.iter().map(|d| d["owner"].as_str().unwrap()).collect::<Vec<_>>(), ["hu", "Acme; Ltd"]);
    assert_eq!((&first[0]["event"], &first[0]["waves"][0]["hosts"][0]), (&"maintenance".into(), &"web1".into()));
    assert!(first[0]["text"].as_str().unwrap().starts_with("To: Ms. Hu <hu@example.org>\nSubject: "), "{}", first[0]);

    let again = notify(&confirmed);
    assert!(
        again.code == 0 && again.stderr.contains("not sent: told ") && again.stderr.contains("by Sarah"),
        "{again:?}"
    );
    assert!(again.stderr.contains("nothing to send: everybody was told"), "{again:?}");
    assert_eq!(documents(&bed).len(), 2, "nobody was told twice");

    let moved = fs::read_to_string(bed.path("week.yaml")).expect("readable").replace("12-01 17:00", "12-01 16:00");
    write(&bed.path("week.yaml"), &moved);
    let changed = notify(&["--to", "hu", "--no-input", "--confirm", "week"]);
    assert!(changed.code == 0 && changed.stderr.contains("it has changed since"), "{changed:?}");
    assert_eq!(documents(&bed).len(), 3, "only who was asked for");

    let json = notify(&["--to", "hu", "--again", "--json", "--confirm", "week"]);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&document["notices"][0]["state"], documents(&bed).len()), (&"sent".into(), 4), "{json:?}");
    notify(&["--to", "ha"]).refused(2, &["no host of the plan's windows has the owner `ha`"]);
}

#[test]
fn what_a_channel_did_not_take_is_sent_the_next_time() {
    let bed = told_by("grep -q Acme && exit 7; cat >> told; echo x >> calls");
    let half = bed.run(&CONFIRMED);
    half.refused(1, &["NOT SENT to Acme; Ltd by command 1: exit status: 7", "1 of 2 notices were not sent"]);
    let text = fs::read_to_string(bed.path("week.yaml")).expect("readable").replace("grep -q Acme && exit 7; ", "");
    write(&bed.path("week.yaml"), &text);
    let rest = bed.run(&CONFIRMED);
    assert!(rest.code == 0 && rest.stderr.contains("1 notice sent"), "{rest:?}");
    assert_eq!(fs::read_to_string(bed.path("calls")).expect("readable").lines().count(), 2, "each of them once");
}

#[test]
fn a_notice_that_was_on_its_way_is_not_sent_again_silently() {
    let bed = told_by("echo x >> calls; while [ ! -e stop ]; do sleep 0.05; done");
    let confirmed = [&CONFIRMED[..], &["--to", "hu"]].concat();
    let mut first = bed.spawn(&confirmed);
    eventually("it is on its way", || bed.path("calls").exists());
    first.kill().expect("killed");
    first.wait().expect("ended");
    fs::write(bed.path("stop"), "").expect("written");

    let second = bed.run(&confirmed);
    assert!(second.code == 0 && second.stderr.contains("perhaps told "), "{second:?}");
    assert!(second.stderr.contains("send it with --again"), "{second:?}");
    let again = bed.run(&[&confirmed[..], &["--again"]].concat());
    assert!(again.code == 0 && again.stderr.contains("1 notice sent"), "{again:?}");
    assert_eq!(fs::read_to_string(bed.path("calls")).expect("readable").lines().count(), 2);
}

#[test]
fn a_webhook_is_told_of_each_owner() {
    let room = Room::new(&[Answer::Status(204)]);
    let bed = told_by_channel(&format!("webhook: {:?}", room.url));
    let sent = bed.run(&CONFIRMED);
    assert!(sent.code == 0 && sent.stderr.contains("sent to Ms. Hu by webhook 1 (127.0.0.1)"), "{sent:?}");
    assert_eq!(
        (room.all("event"), room.all("owner")),
        (vec!["maintenance".to_owned(); 2], ["hu", "Acme; Ltd"].map(str::to_owned).to_vec())
    );
    assert_eq!(room.all("id"), ["week/hu", "week/Acme; Ltd"]);
    let wave = &room.told()[0]["waves"][0];
    assert_eq!(
        (&wave["wave"], &wave["opens"], &wave["times_kept"]),
        (&"few".into(), &"2026-12-01T17:00:00Z".into(), &false.into())
    );
    assert!(!sent.stderr.contains("hidden"), "its address is a secret: {sent:?}");
    assert!(bed.run(&CONFIRMED).stderr.contains("nothing to send") && room.told().len() == 2, "nobody is told twice");
}

#[test]
fn a_webhook_that_says_no_or_nothing_is_named_without_its_address() {
    let room = Room::new(&[Answer::Status(500), Answer::Never]);
    let bed = told_by_channel(&format!("webhook: {:?}", room.url));
    let said = bed.run(&CONFIRMED);
    said.refused(
        1,
        &["NOT SENT to Ms. Hu by webhook 1 (127.0.0.1): the answer was status 500", "2 of 2 notices were not sent"],
    );
    assert!(!said.stderr.contains("hidden"), "{said:?}");
    let next = bed.run(&["notify", "week.yaml", "--dry-run"]);
    assert!(next.stderr.contains("perhaps told "), "what had no answer may have arrived: {next:?}");
}

#[test]
fn owners_are_mailed_at_their_own_addresses() {
    let bed = told_by_channel("mail: ops@example.com");
    mailer(&bed);
    let dry = bed.run(&["notify", "week.yaml", "--dry-run"]);
    assert!(dry.code == 0 && dry.stderr.contains("no mail address is known"), "{dry:?}");
    assert!(!bed.path("called").exists(), "nothing has left");
    bed.run(&[&CONFIRMED[..], &["--to", "hu"]].concat());
    assert_eq!(fs::read_to_string(bed.path("called")).expect("called"), "-i -- hu@example.org\n");
    let mail = fs::read_to_string(bed.path("mail")).expect("a mail");
    insta::assert_snapshot!(mail, @r#"
    To: "Ms. Hu" <hu@example.org>
    Subject: A week: maintenance of 1 of your hosts
    Auto-Submitted: auto-generated
    MIME-Version: 1.0
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: 8bit

    Dear Ms. Hu,

    we will work on hosts of yours, at these times (UTC):

      Tuesday 1 Dec 2026 17:00 - 21:00   web1
         (this is not what we agreed: please tell us whether it suits you)

    Each host is out of service for about 20 minutes, 40 at worst.
    "#);
    assert_eq!(bed.run(&CONFIRMED).code, 1, "the other owner has no address");
    assert_eq!(fs::read_to_string(bed.path("called")).expect("called").lines().count(), 1, "nobody is told twice");
}

#[test]
fn a_plan_that_tells_nobody_says_how_it_could() {
    let bed = told_by("true");
    let text = fs::read_to_string(bed.path("week.yaml")).expect("readable");
    let (silent, _) = text.split_once("notify:").expect("its last key");
    write(&bed.path("week.yaml"), silent);
    bed.run(&["notify", "week.yaml"])
        .refused(2, &["it has no `notify`", "notify: [{mail: ops@example.com}]", "--notices DIR"]);
    write(&bed.path("week.yaml"), &format!("{silent}notify: [{{mail: ops@example.com}}]\n"));
    let said = bed.run(&["notify", "week.yaml", "--dry-run"]);
    assert!(said.code == 0 && said.stderr.contains("NOT SENT: no mail address is known"), "{said:?}");
}
