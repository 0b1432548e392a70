//! Plans and runs as pages and pictures: complete in one file, harmless whatever the plan says, readable on a phone.

mod compare;
mod trend;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A plan that tries to act on whoever reads it, wherever it may say something.
const HOSTILE: &str = r#"runbook: 1
name: "<script>alert(1)</script>"
timezone: UTC
window: {opens: "2026-12-02 01:00", closes: "05:00"}
people: {eve: {name: "[Eve](http://evil) <b>&amp;\n# Head", phone: "<i>1</i>"}}
vars: {EVIL: "</pre><img src=x onerror=alert(3)>\n```\n# loose"}
hosts: {web: [web1]}
steps:
  ask: {gate: "| <i>go on?</i> | - [x] ![p](x) ~~~ `tick", who: eve, estimate: 1m}
  wipe: {hosts: web, needs: ask, run: "echo '</pre><img src=x onerror=alert(2)>'; rm -rf /opt", estimate: 5m-20m, irreversible: "```\n<b>gone"}
  fence: {hosts: web, needs: wipe, run: "echo 1\n```\n# no heading\n````\n<b>loose</b>", estimate: 1m, rollback: "~~~\n<i>\n``\e[0m``\n# x"}
  table: {hosts: web, needs: fence, run: "true | false && echo &lt;", estimate: 1m, manual_rollback: "1. <u>call</u> | &copy; _Eve_"}
"#;

fn written(plan: &Path, name: &str) -> String {
    written_with(plan, name, &[])
}

fn written_with(plan: &Path, name: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    let out = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .args(["plan", &plan.to_string_lossy(), "-o", &file.to_string_lossy()])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("HOME", folder.path())
        .env_remove("XDG_CONFIG_HOME")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("wrote "), "{said}");
    fs::read_to_string(&file).expect("a text")
}

fn december() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/2007-12-02.yaml")
}

fn hostile() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hostile.yaml");
    fs::write(&file, HOSTILE).expect("written");
    (folder, file)
}

#[test]
fn every_form_has_the_numbers_of_the_night() {
    for name in ["a.html", "a.md", "a.txt"] {
        let text = written(&december(), name);
        for part in ["Roll back by", "05:50", "05:32 expected", "worst case 06:42", "landing-test", "callcentre-backup"]
        {
            assert!(text.contains(part), "{name} lacks {part}:\n{text}");
        }
    }
    let picture = written(&december(), "a.svg");
    assert!(picture.contains("roll back by 05:50") && picture.contains("close 07:00"), "{picture}");
    assert_eq!(picture.matches("class=\"final\"").count(), 1, "{picture}");
    let document: serde_json::Value = serde_json::from_str(&written(&december(), "a.json")).expect("JSON");
    assert_eq!(document["rollback_s"], 3300);
}

#[test]
fn a_page_needs_no_script_and_nothing_from_elsewhere() {
    let page = written(&december(), "a.html");
    for part in ["<script", "src=", "@import", "url(", "<link", "None"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn what_a_plan_says_stays_text_and_what_is_dangerous_is_said() {
    let (_folder, plan) = hostile();
    let page = written(&plan, "a.html");
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"), "{page}");
    assert!(page.contains("&lt;&#x2f;pre&gt;&lt;img src=x onerror=alert(2)&gt;"), "{page}");
    assert!(page.contains("look twice: removes a whole tree"), "{page}");
    let picture = written(&plan, "a.svg");
    assert!(!picture.contains("<script"), "{picture}");
}

/// What a renderer makes of a page in Markdown: its headings, and the texts between fences. Anything else that acts is refused.
fn rendered(page: &str) -> (Vec<String>, Vec<String>) {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let (mut headings, mut blocks, mut text) = (Vec::new(), Vec::new(), String::new());
    for event in Parser::new_ext(page, Options::all()) {
        match event {
            Event::Start(Tag::Heading { .. } | Tag::CodeBlock(_)) => text.clear(),
            Event::End(TagEnd::Heading(_)) => headings.push(text.clone()),
            Event::End(TagEnd::CodeBlock) => blocks.push(text.clone()),
            Event::Text(part) => text.push_str(&part),
            Event::Html(_)
            | Event::InlineHtml(_)
            | Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock) => {
                panic!("{event:?} in\n{page}")
            }
            Event::Start(Tag::Strikethrough | Tag::Emphasis | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_))
            | Event::Code(_)
            | Event::TaskListMarker(_)
            | Event::Rule => panic!("{event:?} in\n{page}"),
            _ => {}
        }
    }
    (headings, blocks)
}

#[test]
fn a_page_in_markdown_has_only_its_own_headings_and_every_command_within_its_fence() {
    let (_folder, plan) = hostile();
    let (headings, blocks) = rendered(&written_with(&plan, "a.md", &["--with-drill"]));
    let own = ["Steps", "Rollback plan", "Drill", "No way back", "Warnings", "People", "Commands"];
    assert_eq!(headings[0], "<script>alert(1)</script>, Wednesday 2 Dec 2026, UTC");
    assert_eq!(headings[1..], own);
    for text in [
        "echo 1\n```\n# no heading\n````\n<b>loose</b>\n",
        "~~~\n<i>\n````\n# x\n",
        "EVIL=</pre><img src=x onerror=alert(3)>\\n```\\n# loose\n",
        "true | false && echo &lt;\n",
    ] {
        assert!(blocks.iter().any(|block| block == text), "{text:?} is not in {blocks:#?}");
    }
}

/// As people write it: from the folder of the plans, so that no path of this machine is in it.
#[test]
fn the_night_as_a_page_in_markdown_and_as_a_picture() {
    let plan = Path::new("plans/2007-12-02.yaml");
    insta::with_settings!({ filters => [(r"window ended \d+ days ago", "window ended N days ago")] }, {
        insta::assert_snapshot!("night.md", written(plan, "a.md"));
        insta::assert_snapshot!("night.svg", written(plan, "a.svg"));
    });
}

/// `move` is undone by nobody but a person.
const BROKEN: &str = r#"runbook: 1
name: Broken on purpose
timezone: UTC
window: {opens: "2030-01-01 01:00", closes: "2030-01-01 05:00"}
hosts: {app: [a1, a2]}
steps:
  make: {hosts: app, run: make-release, estimate: 5m, rollback: {run: drop-release, estimate: 5m}}
  move: {hosts: app, run: move-release, estimate: 5m, manual_rollback: put it back by hand}
"#;

#[test]
fn the_drill_is_a_section_where_it_is_asked_for() {
    for name in ["a.html", "a.md", "a.txt"] {
        let text = written_with(&december(), name, &["--with-drill"]).replace("&#x2f;", "/");
        assert!(text.contains("undo coverage 9/9 actions"), "{name}:\n{text}");
        assert!(
            text.contains("96 cases, 0 BAD: 73 end well by themselves") && text.contains("no 04:25, silence 06:45"),
            "{name}:\n{text}"
        );
        assert!(!written(&december(), name).contains("undo coverage"), "{name}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("broken.yaml");
    fs::write(&plan, BROKEN).expect("written");
    let page = written_with(&plan, "a.html", &["--with-drill"]);
    let bad = "<span class=\"alarm\">BAD</span> move on a1 a2, fails half: left to a person";
    assert!(page.contains(bad) && page.contains("<span class=\"alarm\">STUCK</span>"), "{page}");
    let page = written_with(&plan, "a.md", &["--with-drill"]);
    assert!(page.contains("- **BAD** move on a1 a2, fails half: left to a person"), "{page}");
    let document: serde_json::Value =
        serde_json::from_str(&written_with(&plan, "a.json", &["--with-drill"])).expect("JSON");
    assert_eq!(document["drill"]["undo_coverage"], serde_json::json!({ "undone": 2, "of": 4 }));
}

#[test]
fn a_form_that_is_not_known_is_refused_with_those_that_are() {
    let out = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .args(["plan", &december().to_string_lossy(), "-o", "a.docx"])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains(".html, .md, .svg, .json, .txt, .ics"), "{said}");
}

/// Two waves over hosts whose owners accept other times, and whose names try to act; one host is forgotten.
const WEEK: &str = r#"runbook: 1
name: "Week <b>1</b>"
timezone: Europe/Berlin
inventory: groups.yaml
people: {ann: {name: "Ann <i>"}}
steps:
  update: {hosts: wave, run: "update '<img src=x>' && echo '```'", estimate: 10m-20m, allow_failed: 50%, rollback: {run: "update --back", estimate: 5m}}
waves:
  - {name: few, opens: "2030-01-07 17:00", closes: "2030-01-07 17:15", hosts: {web: 2}}
  - {name: many, opens: "2030-01-09 17:00", closes: "2030-01-09 21:00", gate: "| <u>on?</u>", who: [ann], hosts: {web: 1}}
"#;
const GROUPS: &str = r#"web:
  hosts:
    web1: {maintenance: {days: [mon-thu], between: "22:00-04:00", notice: 72h}}
    web2: {}
    web3: {maintenance: {days: [mon-thu], between: "16:00-22:00"}}
    web4: {}
"#;

fn week() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("week.yaml");
    fs::write(&file, WEEK).expect("written");
    fs::write(folder.path().join("groups.yaml"), GROUPS).expect("written");
    (folder, file)
}

/// From there on nothing is rolled back by itself, which the drawings must show as the table says it.
#[test]
fn what_ends_the_way_back_has_its_colour_in_all_drawings() {
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/plans/horizon.yaml");
    let page = written(&plan, "a.html");
    assert_eq!(page.matches("class=\"final\"").count(), 3, "the timeline, that of a phone, and the order: {page}");
    assert_eq!(page.matches("no way back</span>").count(), 3, "the keys of both, and the row of `open`: {page}");
}

#[test]
fn a_week_is_a_page_with_its_waves_its_hosts_and_its_conflicts() {
    let march = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/2013-03-os-update.yaml");
    let page = written(&march, "a.html");
    for part in ["every host exactly once", "Wed 06 17:00-21:00", "3rd failed host (thu-many: 2% = 2 allowed)"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(page.contains("before it, Christian: Is Monday understood?") && !page.contains("<h2>Owners"), "{page}");
    assert_eq!(page.matches("width=\"9\" height=\"9\"").count(), 236, "a square for each host");
    let picture = written(&march, "a.svg");
    assert!(
        picture.contains(">Thu 07</text>") && picture.contains("<title>wed-few expected Wed 06 17:00-17:54"),
        "{picture}"
    );
    let likely = "In time:     more than 99% for every wave, if nothing fails";
    let text = written(&march, "a.txt");
    assert!(text.contains(likely), "{text}");
    assert!(text.contains("thu-many     Thu 07 17:00-21:00    103  vm-prod 99, storage 4"), "{text}");
}

#[test]
fn a_week_in_trouble_says_where() {
    let (_folder, plan) = week();
    let page = written(&plan, "a.html");
    let parts = ["1 host is in no wave", "5m or none", "class=\"undo\"", "class=\"tests\"", "class=\"waiting\""];
    for part in parts {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(page.contains("<h2>Owners</h2>") && page.contains("<strong>W115</strong>"), "{page}");
    assert!(!page.contains("<img") && !page.contains("<b>") && !page.contains("<u>"), "{page}");
    let document: serde_json::Value = serde_json::from_str(&written(&plan, "a.json")).expect("JSON");
    assert_eq!(document["in_no_wave"], 1);
    // The first wave may take an hour where it has less: as likely as the page of this wave alone says.
    let odds: Vec<f64> =
        document["waves"].as_array().unwrap().iter().map(|w| w["odds"]["done_by_close"].as_f64().unwrap()).collect();
    let least = odds.iter().copied().fold(1.0, f64::min);
    assert!(least < 0.99 && odds.iter().any(|p| *p > 0.99), "{odds:?}");
    let unlikely = &document["waves"][odds.iter().position(|p| *p == least).unwrap()]["wave"];
    let alone = written_with(&plan, "a.json", &["--wave", unlikely.as_str().unwrap()]);
    let alone: serde_json::Value = serde_json::from_str(&alone).expect("JSON");
    assert_eq!(alone["odds"]["done_by_close"], least);
    let said = runbook::schedule::probably(least);
    assert!(
        page.contains(&format!("data-name=\"in time\">{said}</td>")) && page.contains(&format!("{said} for few")),
        "{page}"
    );
    assert!(written(&plan, "a.md").contains(&format!("| {said} |")));
    assert!(written(&plan, "a.txt").contains(&format!("In time:     {said} for ")));
    assert_eq!(document["conflicts"][0]["hosts"], serde_json::json!(["web1"]));
    let (headings, _) = rendered(&written(&plan, "a.md"));
    assert_eq!(headings[0], "Week <b>1</b>, Monday 7 Jan 2030 to Wednesday 9 Jan 2030, Europe/Berlin");
    assert!(headings.contains(&"Owners".to_owned()), "{headings:?}");
}

/// Measures every frame: how far it scrolls sideways, and the least contrast of a text with what is behind it.
const MEASURE: &str = r#"<script>
const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
onload = () => {
  const out = [...document.querySelectorAll('iframe')].map(frame => {
    const doc = frame.contentDocument, view = frame.contentWindow, root = doc.documentElement;
    doc.querySelectorAll('details').forEach(d => d.open = true);
    let least = 99, where = '';
    for (const e of doc.querySelectorAll('body, body *')) {
      if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.tagName === 'title') continue;
      const style = view.getComputedStyle(e), svg = e.namespaceURI.includes('svg');
      let behind = e, paper = [];
      while (behind && (paper = parse(view.getComputedStyle(behind).backgroundColor)).length === 4 && paper[3] === 0) behind = behind.parentElement;
      const c = ratio(parse(svg ? style.fill : style.color).slice(0, 3), paper.slice(0, 3));
      if (c < least) { least = c; where = e.tagName + ' ' + e.textContent.slice(0, 20); }
    }
    const paper = view.getComputedStyle(doc.body).backgroundColor;
    return { id: frame.id, wide: root.scrollWidth, room: root.clientWidth, least, where, paper };
  });
  document.body.textContent = 'MEASURED' + JSON.stringify(out) + 'END';
};
</script>"#;

/// What a browser makes of the pages, each as wide as asked for.
fn measured(pages: &[(&str, u32, &str)], dark: bool) -> Vec<serde_json::Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = format!("<!doctype html><meta charset=utf-8>{MEASURE}<body>");
    for (id, width, page) in pages {
        let page = page.replace('&', "&amp;").replace('"', "&quot;");
        let _ =
            write!(text, "<iframe id={id} style='width:{width}px;height:900px;border:0' srcdoc=\"{page}\"></iframe>");
    }
    let file = folder.path().join("all.html");
    fs::write(&file, text).expect("written");
    let scheme = if dark { 0 } else { 1 };
    let out = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("chromium runs");
    let (dom, log) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(!log.contains("CONSOLE"), "{log}");
    let found = dom.split_once("MEASURED[").and_then(|(_, rest)| rest.rsplit_once("]END"));
    let (found, _) = found.unwrap_or_else(|| panic!("nothing was measured: {dom}\n{log}"));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&format!("[{found}]")).expect("JSON")
}

#[test]
fn a_browser_shows_every_page_without_scrolling_sideways_in_light_and_in_dark() {
    if Command::new("chromium").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no chromium here, so nobody looked at the pages");
        return;
    }
    let (_folder, plan) = hostile();
    let (night, evil) = (written_with(&december(), "a.html", &["--with-drill"]), written(&plan, "a.html"));
    let (_week, week) = week();
    let week = written(&week, "a.html");
    let two = compare::two_nights().html().expect("a page");
    let trend = trend::four_nights().html().expect("a page");
    let pages = [
        ("t1280", 1280, &*trend),
        ("t360", 360, &*trend),
        ("c1280", 1280, &*two),
        ("c360", 360, &*two),
        ("w1280", 1280, &*week),
        ("w360", 360, &*week),
        ("n1280", 1280, &*night),
        ("n360", 360, &*night),
        ("e1280", 1280, &*evil),
        ("e360", 360, &*evil),
    ];
    let papers = [false, true].map(|dark| {
        let found = measured(&pages, dark);
        assert_eq!(found.len(), pages.len());
        for page in &found {
            let number = |key: &str| page[key].as_f64().unwrap_or(f64::NAN);
            assert!(number("wide") <= number("room"), "scrolls sideways: {page}");
            assert!(number("least") >= 4.5, "hard to read: {page}");
        }
        found[0]["paper"].clone()
    });
    assert_ne!(papers[0], papers[1], "light and dark look the same");
}
