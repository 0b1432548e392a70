//! Hostile values in every place of a command, and what each kind of text allows.

use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::plan::model::{SecretRef, Value};

fn scope(pairs: &[(&str, &str)]) -> Scope {
    let mut scope = Scope::new();
    for (name, value) in pairs {
        scope.set_text(*name, *value);
    }
    scope
}

/// Two hundred texts that people and scanners try on shells.
fn hostile() -> Vec<String> {
    let payloads = [
        "$(touch CANARY)",
        "`touch CANARY`",
        "; touch CANARY;",
        "\ntouch CANARY\n",
        "| touch CANARY",
        "&& touch CANARY",
        "|| touch CANARY",
        ">CANARY",
        "& touch CANARY &",
        "${x:=$(touch CANARY)}",
    ];
    let wrappers = [
        "{}",
        "'{}",
        "'{}'",
        "\"{}",
        "\"{}\"",
        "\\{}",
        "a'{}'b\"",
        "'\"{}\"'",
        ") {} (",
        "}{}",
        "]] {}",
        "\nEOF\n{}\n",
        "#{}",
        "*{}?",
        "-n {}",
        "'\\''{}'\\''",
        "$'\\''{}",
    ];
    let mut all: Vec<String> = wrappers.iter().flat_map(|w| payloads.iter().map(|p| w.replace("{}", p))).collect();
    let others = [
        "",
        " ",
        "  a  b  ",
        "\n",
        "\n\n",
        "\t",
        "*",
        "/*",
        "~",
        "~root",
        "-rf",
        "--help",
        "-",
        "if",
        "then",
        "{",
        "}",
        "!",
        "!!",
        "a=b",
        "PATH=/tmp",
        "%1",
        "\\",
        "\\\\",
        "\\n",
        "'",
        "''",
        "\"",
        "\"\"",
        "$",
        "$$",
        "$HOME",
        "${HOME}",
        "2",
        "é✓\u{202e}",
        "\u{1b}[31m",
        "\r",
        "a\u{7f}b",
    ];
    all.extend(others.iter().map(|s| (*s).to_owned()));
    assert!(all.len() >= 200, "{}", all.len());
    all
}

const SHELLS: [&[&str]; 4] = [&["sh"], &["dash"], &["bash"], &["busybox", "sh"]];

/// Executes `script` in an empty folder; its output, and the files that came into being.
fn execute(shell: &[&str], script: &str) -> (Vec<u8>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".script"), script).unwrap();
    let out = Command::new(shell[0]).args(&shell[1..]).arg(".script").current_dir(&dir).output().unwrap();
    let names = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    (out.stdout, names.filter(|n| n != ".script").collect())
}

#[test]
fn invariant_hostile_values_stay_one_word_wherever_they_stand() {
    let places = [
        ("{{ v }}", ""),
        ("\"{{ v }}\"", ""),
        ("'{{ v }}'", ""),
        ("\"$(printf %sx {{ v }})\"", "x"),
        ("\"$(printf %sx \"{{ v }}\")\"", "x"),
        ("pre{{ v }}post", "pre-post"),
        ("\"pre {{ v }} post\"", "pre - post"),
        ("{{ v }}{{ '' }}", ""),
        ("$0{{ v }}", "$0"),
    ];
    for (place, around) in places {
        let (mut script, mut expected) = (String::from("set -f\n"), Vec::new());
        for value in hostile() {
            let text = format!("printf '%s\\0' {place}\n");
            script.push_str(&command(&text, &scope(&[("v", &value)]), None).unwrap());
            let whole = match around.split_once('-') {
                Some((before, after)) => format!("{before}{value}{after}"),
                None if around == "$0" => format!(".script{value}"),
                None => format!("{value}{around}"),
            };
            expected.extend(whole.into_bytes());
            expected.push(0);
        }
        for shell in SHELLS {
            let (out, files) = execute(shell, &script);
            assert_eq!(files, Vec::<String>::new(), "{shell:?} at {place}");
            assert!(out == expected, "{shell:?} at {place}: {}", String::from_utf8_lossy(&out));
        }
    }
}

#[test]
fn a_value_is_refused_where_no_quoting_is_safe() {
    for (text, place) in [
        ("cat <<EOF\n{{ v }}\nEOF\n", "here-document"),
        ("cat <<'E F'\n{{ v }}\nE F\n", "here-document"),
        ("cat <<{{ v }}\n", "here-document"),
        ("echo `echo {{ v }}`", "backquotes"),
        ("echo $(( {{ v }} + 1 ))", "arithmetic"),
        ("echo ${{ v }}", "directly after"),
        ("echo \\{{ v }}", "backslash"),
        ("echo \"${x:-{{ v }}}\"", "${...}"),
        ("echo ${x:-{{ v }}}", "${...}"),
        ("echo $'a\\'b' {{ v }}", "differently"),
        ("echo \"$(case x in a) echo \"{{ v }}\";; esac)\"", "differently"),
        ("a[{{ v }}]=1", "a[...]"),
        ("(( {{ v }} ))", "differently"),
    ] {
        let error = command(text, &scope(&[("v", "2")]), None).unwrap_err();
        assert!(error.message.contains(place), "{text}: {error}");
        assert!(text[error.range.clone().unwrap()].contains('v'), "{text}: {error:?}");
    }
}

#[test]
fn after_a_here_document_or_comment_values_are_words_again() {
    let text = "cat <<-EOF # it's {{ v }}\n\tit's\n\tEOF\necho {{ v }} # don't\necho $# ${#} a#b {{ v }} $(( 1 << 2 )) {{ v }}";
    let rendered = command(text, &scope(&[("v", "a b\nc")]), None).unwrap();
    assert_eq!(
        rendered,
        "cat <<-EOF # it's a b c\n\tit's\n\tEOF\necho 'a b\nc' # don't\necho $# ${#} a#b 'a b\nc' $(( 1 << 2 )) 'a b\nc'"
    );
}

#[test]
fn nothing_but_unquoted_splices() {
    let scope = scope(&[("v", "a; b")]);
    let render = |text: &str| command(text, &scope, None);
    assert_eq!(render("x {{ v | unquoted }}").unwrap(), "x a; b");
    assert_eq!(render("x {{ v | unquoted | upper }}").unwrap(), "x 'A; B'");
    assert_eq!(render("x {{ v | tojson }}").unwrap(), "x '\"a; b\"'");
    assert_eq!(render("{% autoescape false %}x {{ v }}{% endautoescape %}").unwrap(), "x 'a; b'");
    assert_eq!(render("x {{ 'p;q' }}").unwrap(), "x 'p;q'");
    assert!(render("x {{ v | safe }}").unwrap_err().message.contains("safe"));
    assert!(render("{% set b %}{{ v }}{% endset %}{{ b }}").unwrap_err().message.contains("block"));
    assert!(render("{% filter upper %}{{ v }}{% endfilter %}").unwrap_err().message.contains("block"));
    assert_eq!(splices("x {{ v | unquoted }} {{ v }} {{- w|unquoted -}}"), ["v | unquoted", "w|unquoted"]);
}

#[test]
fn lists_become_words_and_mappings_are_refused() {
    let mut scope = scope(&[]);
    scope.set("l", Value::List(vec![Value::Text("a b".into()), Value::Int(2), Value::Bool(true)]));
    assert_eq!(command("x {{ l }}", &scope, None).unwrap(), "x 'a b' 2 true");
    assert_eq!(command("{% for i in l %}x {{ i }};{% endfor %}", &scope, None).unwrap(), "x 'a b';x 2;x true;");
    assert_eq!(plain("x {{ l }}", &scope).unwrap(), "x a b 2 true");
    assert!(command("x {{ {'a': 1} }}", &scope, None).unwrap_err().message.contains("mapping"));
    assert!(command("x {{ [[1]] }}", &scope, None).unwrap_err().message.contains("list in a list"));
    assert!(command("x {{ none }}", &scope, None).unwrap_err().message.contains("none"));
    assert_eq!(command("x {{ '-v' if false }}", &scope, None).unwrap(), "x ");
}

#[test]
fn mistakes_name_their_place() {
    let error = command("echo a\necho {{ versoin }}", &scope(&[("version", "1")]), None).unwrap_err();
    assert_eq!((error.undefined.as_deref(), error.line), (Some("versoin"), Some(2)));
    assert_eq!(&"echo a\necho {{ versoin }}"[error.range.unwrap()], "versoin");
    assert_eq!(syntax("a\n{{ b").unwrap_err().line, Some(2));
    assert_eq!(syntax("no template at all } {"), Ok(()));
    assert!(plain("{{ 'a'.nosuch.x }}", &scope(&[])).is_err());
    assert!(command("{{ v }}", &scope(&[("v", "a\0b")]), None).unwrap_err().message.contains("NUL"));
    assert!(command("a\0b", &scope(&[]), None).unwrap_err().message.contains("NUL"));
    assert!(plain("{% include 'etc/passwd' %}", &scope(&[])).is_err());
    let endless = "{% for a in range(9000) %}{% for b in range(9000) %}x{% endfor %}{% endfor %}";
    assert!(plain(endless, &scope(&[])).unwrap_err().message.contains("too long"));
}

#[test]
fn secrets_never_become_text() {
    let mut scope = scope(&[]);
    scope.set("DB_PASS", Value::Secret(SecretRef::Env("X".into())));
    for error in [
        command("login {{ DB_PASS }}", &scope, None).unwrap_err(),
        file("{{ DB_PASS | upper }}", &scope).unwrap_err(),
        truth("DB_PASS == 'x'", &scope).unwrap_err(),
    ] {
        assert!(error.message.contains("\"$DB_PASS\""), "{error}");
    }
}

#[test]
fn other_programs_than_shells_get_no_quoted_values() {
    let scope = scope(&[("v", "1")]);
    let render = |text: &str, shell| command(text, &scope, Some(shell));
    assert!(render("print({{ v }})", "python3 -u").unwrap_err().message.contains("python3 -u"));
    assert_eq!(render("print({{ v | unquoted }})", "python3 -u").unwrap(), "print(1)");
    assert_eq!(render("echo {{ v }}", "/bin/bash -eu").unwrap(), "echo 1");
    assert_eq!(render("echo {{ v }}", "/usr/bin/env bash").unwrap(), "echo 1");
    assert!(render("echo {{ v }}", "/usr/bin/env").is_err());
}

#[test]
fn template_files_keep_every_byte_around_the_values() {
    assert_eq!(file("port = {{ p }}\r\n\n", &scope(&[("p", "$8'0")])).unwrap(), "port = $8'0\r\n\n");
    assert_eq!(file("<{{ p }}>\n", &scope(&[("p", "a&b")])).unwrap(), "<a&b>\n");
}

#[test]
fn when_is_decided_strictly() {
    let mut scope = scope(&[("ROLE", "db"), ("SAID", "false"), ("EMPTY", "")]);
    scope.set("YES", Value::Bool(true));
    scope.set("N", Value::Int(0));
    let decide = |text| truth(text, &scope);
    assert_eq!(decide("YES and not N"), Ok(true));
    assert_eq!(decide("ROLE in ['db', 'web']"), Ok(true));
    assert_eq!(decide("SAID"), Ok(false));
    assert_eq!(decide("EMPTY"), Ok(false));
    assert_eq!(decide("nosuch is defined"), Ok(false));
    assert!(decide("ROLE").unwrap_err().message.contains("compare it"));
    assert_eq!(decide("nosuch").unwrap_err().undefined.as_deref(), Some("nosuch"));
    assert_eq!(decide("YES and nosuch").unwrap_err().undefined.as_deref(), Some("nosuch"));
    assert!(decide("YES and").is_err());
}

#[test]
fn names_taken_from_outside_are_known_before_rendering() {
    let text = "{% for h in hosts %}{{ h }} {{ dict(a=b) }}{{ range(n) }}{% endfor %}";
    assert_eq!(undeclared(text), ["b", "hosts", "n"]);
    assert_eq!(undeclared_in_command(text), ["b", "hosts", "n"]);
    assert_eq!(undeclared_in_command("echo ${#HOME}"), Vec::<String>::new());
    assert_eq!(undeclared_in_expression("A and range(3) and not b"), ["A", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever surrounds a value: either it is refused, or all shells agree that it is data.
    #[test]
    fn invariant_no_surroundings_let_a_value_act(
        before in prop::collection::vec(prop::sample::select(vec![
            "'", "\"", "`", "\\", "$", "(", ")", "{", "}", "<<E", "\nE\n", "#", " ", "a", "\n", ";", "case ", " in ", "$((", "$(", "${x:-", "[", "&", "|", "=", "<", ">", "esac", "$'", "1",
        ]), 0..9),
        after in prop::collection::vec(prop::sample::select(vec!["'", "\"", "`", ")", "}", "\nE\n", " ", "a", "))", ";;", "]", ">"]), 0..6),
        kind in 0..4usize,
    ) {
        let value = ["$(touch CANARY)", "`touch CANARY`", "\ntouch CANARY\n", "'$(touch CANARY)'\"$(touch CANARY)\""][kind];
        let text = format!("{}{{{{ v }}}}{}\n", before.concat(), after.concat());
        if let Ok(script) = command(&text, &scope(&[("v", value)]), None) {
            for shell in SHELLS {
                let (_, files) = execute(shell, &script);
                prop_assert!(!files.contains(&"CANARY".to_owned()), "{:?} executes {:?}", shell, script);
            }
        }
    }
}
