//! Inventories in every form: what Ansible says of the same files is what comes out here, and mistakes are shown in place.
//!
//! `tests/inventories/NAME/` holds good inventories with the folders beside them; `tests/inventories/bad/` holds one mistake
//! each, and what is said about it in `.out` (`UPDATE=1 cargo test` rewrites those).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use runbook::cli::diagnostics::{Canvas, render};
use runbook::cli::load::{LoadError, Loaded, load};
use runbook::plan::model::{Plan, Value};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventories")
}

/// Each good inventory: its folder and its file.
fn good() -> Vec<(PathBuf, String)> {
    let folders = fs::read_dir(corpus()).expect("the corpus").map(|e| e.expect("an entry").path());
    let mut all: Vec<(PathBuf, String)> = folders
        .filter(|f| f.is_dir() && !f.ends_with("bad"))
        .map(|folder| {
            let all = fs::read_dir(&folder).expect("a folder").map(|e| e.expect("an entry").path());
            let (files, folders): (Vec<_>, Vec<_>) = all.partition(|f| f.is_file());
            let file = files.into_iter().min().or(folders.into_iter().min()).expect("an inventory");
            (folder, file.file_name().expect("a name").to_string_lossy().into_owned())
        })
        .collect();
    all.sort();
    assert!(all.len() >= 10, "the corpus is there");
    all
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// A plan beside the inventory, read.
fn read(folder: &Path, inventory: &str) -> Result<Loaded, String> {
    let plan = folder.join("the-plan.yaml");
    let text = format!("runbook: 1\ninventory: {inventory}\nsteps:\n  look: {{hosts: all, test: \"true\"}}\n");
    fs::write(&plan, text).expect("written");
    fs::set_permissions(&plan, fs::Permissions::from_mode(0o644)).expect("mode");
    load(&plan, &[]).map_err(|e| match e {
        LoadError::Invalid { text, diagnostics } => {
            let said = render(&text, &diagnostics, Canvas::Plain);
            said.replace(&format!("{}/", folder.display()), "")
        }
        other => other.to_string(),
    })
}

fn loaded(folder: &Path, file: &str) -> Plan {
    let inventory = if file.ends_with(".sh") { format!("{{run: ./{file}}}") } else { file.to_owned() };
    read(folder, &inventory).unwrap_or_else(|said| panic!("{}: {said}", folder.display())).plan
}

/// What this machine is, ours and Ansible's: hosts with variables, and groups with all their hosts.
#[derive(Debug, PartialEq)]
struct Known {
    hosts: BTreeMap<String, BTreeMap<String, Json>>,
    groups: BTreeMap<String, BTreeSet<String>>,
}

fn ours(plan: &Plan) -> Known {
    let json = |v: &Value| alike(v.to_json().expect("no secret"));
    let vars = |h: &runbook::plan::model::Host| h.vars.iter().map(|(k, v)| (k.clone(), json(v))).collect();
    Known {
        hosts: plan.hosts.iter().map(|(name, host)| (name.clone(), vars(host))).collect(),
        groups: plan.groups.iter().map(|(name, hosts)| (name.clone(), hosts.iter().cloned().collect())).collect(),
    }
}

/// Numbers with a fraction are texts here, and nothing is an empty text.
fn alike(value: Json) -> Json {
    match value {
        Json::Null => "".into(),
        Json::Number(n) if n.as_i64().is_none() => format!("{}", n.as_f64().expect("a number")).into(),
        Json::String(s) if s.contains(['.', 'e']) => match s.parse::<f64>() {
            Ok(n) if s.starts_with(|c: char| c.is_ascii_digit()) => format!("{n}").into(),
            _ => s.into(),
        },
        Json::Array(items) => items.into_iter().map(alike).collect(),
        Json::Object(entries) => entries.into_iter().map(|(k, v)| (k, alike(v))).collect(),
        other => other,
    }
}

fn theirs(listing: &Json) -> Known {
    let groups = listing.as_object().expect("groups");
    let names = |group: &str, key: &str| -> Vec<String> {
        let names = groups.get(group).and_then(|g| g.get(key)).and_then(Json::as_array);
        names.into_iter().flatten().map(|n| n.as_str().expect("a name").to_owned()).collect()
    };
    let members = |group: &str| {
        let (mut hosts, mut open, mut seen) = (BTreeSet::new(), vec![group.to_owned()], BTreeSet::new());
        while let Some(group) = open.pop() {
            if seen.insert(group.clone()) {
                hosts.extend(names(&group, "hosts"));
                open.extend(names(&group, "children"));
            }
        }
        hosts
    };
    let vars = |host: &String| {
        let vars = listing["_meta"]["hostvars"].get(host).and_then(Json::as_object);
        vars.into_iter().flatten().map(|(k, v)| (k.clone(), alike(v.clone()))).collect::<BTreeMap<_, _>>()
    };
    let mut hosts: BTreeMap<String, BTreeMap<String, Json>> =
        members("all").iter().map(|h| (h.clone(), vars(h))).collect();
    // This machine has a word of its own, `local`.
    hosts.retain(|_, vars| vars.get("ansible_connection") != Some(&"local".into()));
    let all: BTreeSet<String> = groups.keys().cloned().chain(names("all", "children")).collect();
    let all = all.into_iter().filter(|g| g != "all" && g != "_meta");
    let mut groups: BTreeMap<String, BTreeSet<String>> = all.map(|g| (g.clone(), members(&g))).collect();
    groups.values_mut().for_each(|members| members.retain(|h| hosts.contains_key(h)));
    groups.retain(|name, members| name != "ungrouped" || !members.is_empty());
    Known { hosts, groups }
}

/// `ansible-inventory`, where there is one: from `tests/run`, or of the machine.
fn ansible() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| corpus().join("../../target"), PathBuf::from);
    let own = target.join("tools/ansible/bin/ansible-inventory");
    [own, PathBuf::from("ansible-inventory")]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success()))
}

fn listing(program: &Path, folder: &Path, file: &str) -> String {
    let settings = folder.join("ansible.cfg");
    fs::write(&settings, "").expect("written");
    let out = Command::new(program)
        .args(["-i", file, "--list"])
        .current_dir(folder)
        .env("ANSIBLE_CONFIG", &settings)
        .env("ANSIBLE_INVENTORY_ENABLED", "script,yaml,ini")
        .env("ANSIBLE_LOCALHOST_WARNING", "False")
        .output()
        .expect("ansible-inventory runs");
    assert!(out.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

#[test]
fn ansible_says_the_same_of_every_inventory() {
    let Some(program) = ansible() else {
        eprintln!("SKIPPED: ansible-inventory is not installed, so no inventory was compared with what Ansible says");
        return;
    };
    for (folder, file) in good() {
        let bed = tempfile::tempdir().expect("a folder");
        copy(&folder, bed.path());
        let said = listing(&program, bed.path(), &file);
        let json: Json = serde_json::from_str(&said).expect("JSON");
        let plan = loaded(bed.path(), &file);
        pretty_assertions(&ours(&plan), &theirs(&json), &folder);
        // And the listing itself is an inventory, without the folders beside it: they are in it.
        let bare = tempfile::tempdir().expect("a folder");
        fs::write(bare.path().join("listing.json"), &said).expect("written");
        let again = read(bare.path(), "{run: cat listing.json}").unwrap_or_else(|said| panic!("{said}")).plan;
        pretty_assertions(&ours(&again), &theirs(&json), &folder);
    }
}

/// One line for each difference.
fn pretty_assertions(ours: &Known, theirs: &Known, folder: &Path) {
    let name = folder.file_name().expect("a name").to_string_lossy();
    assert_eq!(ours.hosts.keys().collect::<Vec<_>>(), theirs.hosts.keys().collect::<Vec<_>>(), "hosts of {name}");
    // Ansible does not list a group without hosts.
    let filled = |known: &Known| known.groups.clone().into_iter().filter(|g| !g.1.is_empty()).collect::<Vec<_>>();
    assert_eq!(filled(ours), filled(theirs), "groups of {name}");
    for (host, vars) in &ours.hosts {
        assert_eq!(vars, &theirs.hosts[host], "variables of {host} in {name}");
    }
}

#[test]
fn a_folder_of_inventories_is_one_inventory() {
    let bed = tempfile::tempdir().expect("a folder");
    copy(&corpus().join("folder"), bed.path());
    let plan = loaded(bed.path(), "inventory");
    assert_eq!(plan.groups["site"], ["web1", "web2", "web3", "db1"], "of groups that other files have");
    let var = |host: &str, name: &str| plan.hosts[host].vars.get(name).and_then(Value::to_text).unwrap_or_default();
    assert_eq!(var("db1", "role"), "primary", "a later file counts more");
    assert_eq!((var("web3", "color"), var("db1", "backup")), ("blue".into(), "nightly".into()), "beside the files");
    assert!(plan.hosts.contains_key("edge1") && var("edge1", "tier").is_empty(), "of folders in it the files only");
    assert_eq!(plan.hosts.len(), 5, "copies and notes do not count");

    let again = bed.path().join("inventory/20-late.ini");
    fs::write(&again, "[db]\ndb2\ndb2 oops\n").expect("written");
    let said = read(bed.path(), "inventory").expect_err("a mistake");
    assert!(said.contains("inventory/20-late.ini:3:"), "{said}");
    fs::write(&again, "#!/bin/sh\necho {}\n").expect("written");
    let said = read(bed.path(), "inventory").expect_err("a program");
    assert!(said.contains("ansible-inventory -i FOLDER --list"), "{said}");

    fs::create_dir(bed.path().join("nothing")).expect("a folder");
    fs::write(bed.path().join("nothing/README.md"), "hosts will be here\n").expect("written");
    let said = read(bed.path(), "nothing").expect_err("no inventory");
    assert!(said.contains("the inventory is a folder without any inventory"), "{said}");
}

#[test]
fn inventories_say_what_they_mean_without_ansible() {
    let plan = |name: &str| {
        let (folder, file) = good().into_iter().find(|(f, _)| f.ends_with(name)).expect("in the corpus");
        let bed = tempfile::tempdir().expect("a folder");
        copy(&folder, bed.path());
        loaded(bed.path(), &file)
    };
    let text = |plan: &Plan, host: &str, var: &str| plan.hosts[host].vars.get(var).and_then(Value::to_text);
    let families = plan("families");
    assert_eq!(families.groups["usa"], ["host4", "host1", "host2", "host3"], "level by level, as Ansible goes");
    assert_eq!(
        text(&families, "host1", "proxy").as_deref(),
        Some("proxy.atlanta.example.com"),
        "the nearest group counts"
    );
    assert_eq!(text(&families, "host3", "proxy").as_deref(), Some("proxy.southeast.example.com"));
    assert_eq!(text(&families, "host4", "proxy").as_deref(), Some("proxy.example.com"));
    let files = plan("vars-files");
    assert_eq!(text(&files, "web1", "where").as_deref(), Some("host-file"));
    assert_eq!(text(&files, "web2", "where").as_deref(), Some("web-file-2"), "the last file of the folder counts");
    assert_eq!(text(&files, "db1", "level").as_deref(), Some("db-yaml"), "db.yaml is looked for before db.json");
    assert_eq!(text(&files, "web2", "ports").as_deref(), Some("80 443"));
    let aliases = plan("aliases");
    let jumper = &aliases.hosts["jumper"];
    assert_eq!((jumper.address.as_deref(), jumper.port), (Some("192.0.2.50"), Some(5555)));
    assert_eq!(aliases.hosts["badwolf.example.com"].port, Some(5309));
    assert_eq!(aliases.hosts["old"].user.as_deref(), Some("deploy"));
    assert!(!aliases.hosts.contains_key("localhost"), "this machine is called `local`");
    assert_eq!(plan("jump").hosts["in1"].via.as_deref(), Some("gate@bastion.example.com"));
    assert_eq!(plan("list").groups["site"], ["web1", "web2", "db1"]);
    assert_eq!(plan("ranges").groups["databases"].len(), 6);
}

#[test]
fn the_digest_is_about_hosts_and_not_about_where_they_were_read() {
    let bed = tempfile::tempdir().expect("a folder");
    let digest = |text: &str| {
        fs::write(bed.path().join("hosts"), text).expect("written");
        read(bed.path(), "hosts").expect("a good inventory").digest
    };
    let before = digest("[web]\nweb1 port_=80\n");
    assert_eq!(before, digest("# a comment\n[web]\n\nweb1   port_=80\n"), "comments and layout mean nothing");
    assert_eq!(before, digest("web:\n  hosts:\n    web1: {port_: 80}\n"), "nor does the form");
    assert_ne!(before, digest("[web]\nweb1 port_=81\n"));
    assert_ne!(before, digest("[web]\nweb1 port_=80\nweb2\n"));
}

#[test]
fn every_bad_inventory_is_answered_in_place() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus().join("bad")).expect("bad ones").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "in")) {
        let bed = tempfile::tempdir().expect("a folder");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        fs::copy(path, bed.path().join(&name)).expect("copied");
        let said = read(bed.path(), &name).map_or_else(
            |said| said,
            |loaded| {
                let said = render(&loaded.source, &loaded.diagnostics, Canvas::Plain);
                format!("{}ok\n", said.replace(&format!("{}/", bed.path().display()), ""))
            },
        );
        let golden = path.with_extension("out");
        if update {
            fs::write(&golden, &said).expect("writable");
        } else if fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("--- {name}\n{said}"));
        }
    }
    assert!(files.len() > 20, "the bad ones are there");
    assert!(wrong.is_empty(), "differs from the .out files (UPDATE=1 rewrites them):\n{}", wrong.join("\n"));
}

#[test]
fn a_command_that_fails_hangs_or_floods_is_named_with_what_it_said() {
    let bed = tempfile::tempdir().expect("a folder");
    let said = |inventory: &str| read(bed.path(), inventory).expect_err("no inventory");
    let failed = said("{run: \"echo no such database >&2; exit 3\"}");
    assert!(failed.contains("the-plan.yaml:2:18"), "{failed}");
    assert!(failed.contains("exit 3") && failed.contains("no such database"), "{failed}");
    let hangs = said("{run: \"sleep 600 & echo waiting >&2; sleep 600\", timeout: 200ms}");
    assert!(hangs.contains("killed after") && hangs.contains("waiting"), "{hangs}");
    assert!(said("{run: \"printf '\\\\377'\"}").contains("no text"));
    assert!(said("{run: \"true\"}").contains("the inventory is empty"));
    let mistaken = said("{run: \"printf '[web]\\\\nweb1\\\\n[web:children]\\\\nnone\\\\n'\"}");
    assert!(mistaken.contains(":4:1"), "a mistake in what it printed has a place there: {mistaken}");
}

#[test]
fn a_variable_that_some_hosts_lack_is_found_before_the_night() {
    let bed = tempfile::tempdir().expect("a folder");
    fs::write(bed.path().join("hosts"), "[web]\nweb1 port_=80\nweb2\nweb3 port_=81\n").expect("written");
    let said = |steps: &str, vars: &str| {
        let plan = bed.path().join("plan.yaml");
        fs::write(&plan, format!("runbook: 1\ninventory: hosts\n{vars}steps:\n{steps}")).expect("written");
        fs::set_permissions(&plan, fs::Permissions::from_mode(0o644)).expect("mode");
        match load(&plan, &[]) {
            Ok(_) => "ok".to_owned(),
            Err(LoadError::Invalid { text, diagnostics }) => render(&text, &diagnostics, Canvas::Plain),
            Err(other) => panic!("{other}"),
        }
    };
    let all = said("  look: {hosts: web, test: \"curl localhost:{{ port_ }}\"}\n", "");
    assert!(all.contains("`port_` is not defined for web2") && all.contains("2 of this step's 3 hosts"), "{all}");
    assert_eq!(said("  look: {hosts: [web1, web3], test: \"curl localhost:{{ port_ }}\"}\n", ""), "ok");
    assert_eq!(said("  look: {hosts: web, test: \"curl localhost:{{ port_ }}\"}\n", "vars: {port_: 8080}\n"), "ok");
    let here = said("  look: {hosts: local, test: \"curl localhost:{{ port_ }}\"}\n", "");
    assert!(here.contains("`port_` is a variable of hosts only"), "{here}");
}

#[test]
fn a_host_variable_reaches_its_command_quoted() {
    use runbook::graph::Graph;
    use runbook::graph::ids::{AttemptId, Direction};
    use runbook::graph::job::Work;
    use runbook::graph::render::{Known, Outputs, job};
    let bed = tempfile::tempdir().expect("a folder");
    fs::write(bed.path().join("hosts"), "web1 motd=\"it's; rm -rf /\" deep=\"{'a': [1]}\"\n").expect("written");
    let plan = bed.path().join("plan.yaml");
    let step = "  say: {hosts: web1, test: \"echo {{ motd }} {{ deep.a[0] }}\"}\n";
    fs::write(&plan, format!("runbook: 1\ninventory: hosts\nsteps:\n{step}")).expect("written");
    fs::set_permissions(&plan, fs::Permissions::from_mode(0o644)).expect("mode");
    let graph = Graph::build(std::sync::Arc::new(load(&plan, &[]).expect("a good plan").plan));
    let attempt = AttemptId { action: graph.actions()[0].id.clone(), direction: Direction::Do, number: 1 };
    let outputs = Outputs::new();
    let known =
        Known { run: "r", outputs: &outputs, roll_back_by: None, forward_outcome: None, replaced_by: Vec::new() };
    let job = job(&graph, &attempt, &known).expect("a job");
    assert_eq!(job.env["motd"], "it's; rm -rf /");
    assert_eq!(job.env["deep"], "{\"a\":[1]}");
    let Work::Shell(text) = &job.work else { panic!("a shell text") };
    let out = Command::new("sh").args(["-c", text]).output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "it's; rm -rf / 1\n");
}

#[test]
fn a_value_for_the_run_that_hosts_would_not_see_is_refused() {
    let bed = tempfile::tempdir().expect("a folder");
    fs::write(bed.path().join("hosts"), "[web]\nweb1 version_=1\nweb2\n").expect("written");
    let plan = bed.path().join("plan.yaml");
    let text = "runbook: 1\ninventory: hosts\nvars: {version_: \"2\"}\nsteps:\n  s: {hosts: web, test: \"true\"}\n";
    fs::write(&plan, text).expect("written");
    fs::set_permissions(&plan, fs::Permissions::from_mode(0o644)).expect("mode");
    load(&plan, &[]).expect("a value of the plan is for hosts without their own");
    let Err(LoadError::Invalid { diagnostics, .. }) = load(&plan, &[("version_".into(), Value::Text("3".into()))])
    else {
        panic!("refused")
    };
    assert!(diagnostics[0].message.contains("web1 has a value of its own"), "{diagnostics:?}");
}

mod damaged {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use runbook::cli::diagnostics::{Canvas, render};
    use runbook::plan::inventory::{Listing, VarsFile, VarsOf, resolve};
    use runbook::plan::source::Source;
    use runbook::template::Scope;

    /// The good and the bad inventories of the corpus.
    fn texts() -> Vec<String> {
        let (mut open, mut texts) = (vec![super::corpus()], Vec::new());
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(path).expect("readable").map(|e| e.expect("an entry").path()));
            } else if path.extension().is_none_or(|e| e != "out") {
                texts.push((path.clone(), std::fs::read_to_string(path).expect("text")));
            }
        }
        texts.sort();
        texts.into_iter().map(|(_, text)| text).collect()
    }

    fn floor(text: &str, at: usize) -> usize {
        (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever an inventory's text is, it is answered: with machines or with findings that can be shown, and soon.
        #[test]
        fn inventories_never_end_the_program(
            which in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[\\[\\]:=,{}\"'#!&*%\\\\ \t\na-c0-9é-]{0,6}"), 0..4),
        ) {
            let texts = texts();
            let mut text = which.get(&texts).clone();
            for (at, length, new) in &cuts {
                let from = floor(&text, at.index(text.len() + 1));
                let to = floor(&text, from + length).max(from);
                text.replace_range(from..to, new);
            }
            let begun = Instant::now();
            let (mut listing, mut found) = (Listing::default(), Vec::new());
            listing.add(&Arc::new(Source::new("hosts", text)), &mut found);
            let vars = VarsFile { of: VarsOf::Group, name: "all".into(), text: Arc::new(Source::new("vars", other.get(&texts).clone())) };
            listing.add_vars(&vars, &mut found);
            resolve(&listing, &Scope::new(), &mut found);
            let said = render(&Source::new("plan", ""), &found, Canvas::Plain);
            prop_assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said}");
            prop_assert!(begun.elapsed() < Duration::from_secs(5));
        }
    }
}
