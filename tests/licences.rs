//! What we build with: licences, forbidden crates and sources, as `deny.toml` lists them. Stands in for cargo-deny.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The entries of `NAME = [` in `deny.toml`, one per line.
fn listed<'a>(deny: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("\n{name} = [\n");
    let (_, rest) = deny.split_once(&start).unwrap_or_else(|| panic!("deny.toml has a list `{name}`"));
    let list = rest.split("\n]").next().unwrap();
    list.lines().filter_map(|line| line.split('"').nth(1)).collect()
}

/// Whether an SPDX expression is satisfied by the allowed licences. `AND` binds tighter than `OR`; `/` is an old `OR`.
fn allowed(expression: &str, allow: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "+WITH+");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allow)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allow: &[&str]) -> bool {
    let mut good = both(words, allow);
    while words.next_if_eq(&"OR").is_some() {
        good |= both(words, allow);
    }
    good
}

fn both(words: &mut Words<'_>, allow: &[&str]) -> bool {
    let mut good = one(words, allow);
    while words.next_if_eq(&"AND").is_some() {
        good &= one(words, allow);
    }
    good
}

fn one(words: &mut Words<'_>, allow: &[&str]) -> bool {
    match words.next() {
        Some("(") => {
            let good = either(words, allow);
            words.next() == Some(")") && good
        }
        Some(name) => allow.contains(&name.replace("+WITH+", " WITH ").as_str()),
        None => false,
    }
}

/// The packages of this build on this platform.
fn packages() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc names its host");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host]);
    let out = metadata.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    all["packages"].as_array().unwrap().clone()
}

#[test]
fn every_crate_is_permissively_licensed_from_crates_io_and_not_forbidden() {
    let deny = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let (allow, forbidden) = (listed(&deny, "allow"), listed(&deny, "deny"));
    let mut wrong = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        if !allowed(licence, &allow) {
            wrong.push(format!("{name} is licensed under {licence}"));
        }
        if forbidden.contains(&name) {
            wrong.push(format!("{name} is forbidden"));
        }
        if package["source"].as_str().is_some_and(|s| s != CRATES_IO) {
            wrong.push(format!("{name} comes from {}", package["source"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn licence_expressions_are_read_as_they_are_meant() {
    let allow = ["MIT", "Apache-2.0", "Unicode-3.0"];
    for good in
        ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0", "GPL-3.0 OR MIT AND Apache-2.0"]
    {
        assert!(allowed(good, &allow), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0) AND GPL-3.0", "Apache-2.0 WITH X", "none", ""] {
        assert!(!allowed(bad, &allow), "{bad}");
    }
}

#[test]
fn the_lists_are_read() {
    assert_eq!(listed("\nallow = [\n  \"A\",\n  \"B\",\n]\n", "allow"), ["A", "B"]);
    assert_eq!(listed("\ndeny = [\n  { crate = \"x\" },\n]\n", "deny"), ["x"]);
}
