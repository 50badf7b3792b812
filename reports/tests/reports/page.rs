//! The folder that is written: whole, self-contained, and true to the records.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use etalon_reports::load::Run;
use etalon_reports::page;
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::json;
use tempfile::TempDir;

use crate::{fixture, paired, program, records, run};

/// The report of a run.
fn report(run: &Run) -> TempDir {
    let folder = TempDir::new().unwrap();
    page::write(run, folder.path()).unwrap();
    folder
}

fn html(run: &Run) -> String {
    fs::read_to_string(report(run).path().join("index.html")).unwrap()
}

/// The page without the texts of its style and its script, which are no XML.
fn markup(html: &str) -> String {
    let mut text = html.to_string();
    for (begin, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let (from, to) = (text.find(begin).unwrap() + begin.len(), text.rfind(end).unwrap());
        text.replace_range(from..to, "");
    }
    text
}

/// Lets `check` look at the parsed page.
fn with_page(run: &Run, check: impl FnOnce(&Document<'_>)) {
    let markup = markup(&html(run));
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    check(&Document::parse_with_options(&markup, options).unwrap());
}

fn elements<'a>(document: &'a Document<'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |n| n.is_element() && n.tag_name().name() == name)
}

fn by_id<'a>(document: &'a Document<'a>, id: &str) -> Option<Node<'a, 'a>> {
    document.descendants().find(|n| n.attribute("id") == Some(id))
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|n| n.text().filter(|_| n.is_text())).collect()
}

/// Rows of the table of results by case id, each with the texts of its cells.
fn rows(document: &Document<'_>) -> BTreeMap<String, Vec<String>> {
    let table = by_id(document, "results").unwrap();
    let body = table.children().find(|n| n.has_tag_name("tbody")).unwrap();
    let cells = |row: Node<'_, '_>| row.children().filter(|n| n.has_tag_name("td")).map(text).collect();
    let id = |row: Node<'_, '_>| {
        row.children().filter_map(|n| n.attribute("title")).find(|t| t.contains('#')).unwrap().to_string()
    };
    body.children().filter(Node::is_element).map(|row| (id(row), cells(row))).collect()
}

#[test]
fn every_record_has_its_row() {
    with_page(&run(), |document| {
        let rows = rows(document);
        assert_eq!(rows.len(), records().len());
        let head = by_id(document, "results").unwrap().descendants().filter(|n| n.has_tag_name("th")).count();
        for record in records() {
            let cells = &rows[record["id"].as_str().unwrap()];
            assert_eq!(cells.len(), head);
            assert_eq!(cells[0], record["op"].as_str().unwrap());
            assert_eq!(cells[2], record["dtype"].as_str().unwrap());
            if record["time"].is_null() {
                assert_eq!(cells[5], record["status"].as_str().unwrap(), "in place of a time");
            }
            assert_eq!(cells[head - 1], record["reason"].as_str().unwrap_or(""));
        }
    });
}

#[test]
fn what_was_not_timed_is_shown_at_once() {
    with_page(&run(), |document| {
        for status in ["skipped", "mistrusted", "failed"] {
            let cell = document.descendants().find(|n| n.attribute("class") == Some(status)).unwrap();
            let row = cell.ancestors().find(|n| n.has_tag_name("tr")).unwrap();
            assert_eq!(row.attribute("data-best"), Some("true"), "{status}");
        }
    });
}

#[test]
fn noise_is_marked_and_digits_stop_at_the_spread() {
    with_page(&run(), |document| {
        let noisy: Vec<_> = document.descendants().filter(|n| n.attribute("class") == Some("noisy")).collect();
        assert_eq!(noisy.len(), 1);
        for cells in rows(document).into_values().filter(|cells| cells[6].starts_with('±')) {
            let percent: f64 = cells[6].trim_matches(['±', '%', ' ']).parse().unwrap();
            let digits = cells[5].chars().filter(char::is_ascii_digit).count();
            let most = if percent >= 10.0 {
                2
            } else if percent >= 1.0 {
                3
            } else {
                4
            };
            assert!(digits <= most, "{} {}", cells[5], cells[6]);
        }
    });
}

#[test]
fn hostile_texts_stay_texts() {
    let hostile =
        records().into_iter().find_map(|r| r["reason"].as_str().filter(|r| r.contains("<b>")).map(String::from));
    let hostile = hostile.unwrap();
    let html = html(&run());
    assert!(!html.contains("</script><b>"));
    assert_eq!(html.matches("<script").count(), 1);
    with_page(&run(), |document| assert!(document.descendants().any(|n| text(n) == hostile)));

    let mut record = paired();
    for field in ["op", "kernel", "workload", "source", "dtype", "reason"] {
        record[field] = json!("</script><b>&\"");
    }
    record["peers"][0]["peer"] = json!("\"><img src=x>");
    let run = crate::run_of(&[record]);
    with_page(&run, |document| {
        assert_eq!(elements(document, "img").count(), 0);
        assert!(elements(document, "b").all(|b| b.ancestors().any(|a| a.attribute("class") == Some("card"))));
    });
}

#[test]
fn nothing_is_fetched_and_every_link_leads_somewhere() {
    let folder = report(&run());
    let html = fs::read_to_string(folder.path().join("index.html")).unwrap();
    for word in ["@import", "url(", "fetch(", "XMLHttpRequest", "import("] {
        assert!(!html.contains(word), "{word}");
    }
    with_page(&run(), |document| {
        for name in ["link", "img", "iframe", "object", "embed", "audio", "video", "image", "use", "base"] {
            assert_eq!(elements(document, name).count(), 0, "{name}");
        }
        assert!(document.descendants().all(|n| n.attribute("src").is_none()));
        for link in document.descendants().filter_map(|n| n.attribute("href")) {
            match link.strip_prefix('#') {
                Some(anchor) => assert!(by_id(document, anchor).is_some(), "{link}"),
                None => assert!(folder.path().join(link).is_file(), "{link}"),
            }
        }
    });
}

#[test]
fn ids_are_unique_and_pictures_are_in_the_page() {
    with_page(&run(), |document| {
        let ids: Vec<_> = document.descendants().filter_map(|n| n.attribute("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        let figures: Vec<_> = elements(document, "figure").collect();
        assert_eq!(figures.len(), 5);
        for figure in figures {
            let child = |name: &str| figure.children().find(|n| n.tag_name().name() == name).unwrap();
            assert!(child("svg").has_children());
            assert!(!text(child("figcaption")).is_empty());
        }
    });
}

#[test]
fn the_records_lie_beside_the_page_byte_for_byte() {
    let folder = report(&run());
    for name in ["records.jsonl", "environment.json"] {
        assert_eq!(fs::read(folder.path().join("data").join(name)).unwrap(), fs::read(fixture(name)).unwrap());
    }
    with_page(&run(), |document| assert!(text(by_id(document, "cite").unwrap()).contains(&run().id)));
}

#[test]
fn missing_facts_are_named() {
    let run = Run::read(&[fixture("records.jsonl"), fixture("environment-incomplete.json")]).unwrap();
    with_page(&run, |document| {
        let told = document.descendants().find(|n| n.attribute("class") == Some("missing")).unwrap();
        assert_eq!(text(told), "incomplete: lock.sha256, cpu.microcode, libtorch.version");
    });
    with_page(&Run::read(&[fixture("records.jsonl")]).unwrap(), |document| {
        let told = document.descendants().find(|n| n.attribute("class") == Some("missing")).unwrap();
        assert_eq!(text(told), "No environment was recorded.");
    });
}

/// Every file of a folder.
fn files(folder: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.insert(path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn two_builds_are_byte_identical() {
    let [a, b] = [(); 2].map(|()| {
        let folder = report(&run());
        let mut all = BTreeMap::new();
        files(folder.path(), &mut all);
        all
    });
    assert_eq!(
        a.keys().collect::<Vec<_>>(),
        [
            "bencher.json",
            "environment.json",
            "github-action-benchmark.json",
            "index.html",
            "records.jsonl",
            "results.csv"
        ]
    );
    assert!(a == b);
}

#[test]
fn the_program_prints_where_the_page_is() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let binary = env!("CARGO_BIN_EXE_etalon-report");
    let output = program(binary, &[fixture("records.jsonl").as_os_str(), "-o".as_ref(), out.as_ref()]);
    assert_eq!(output.status.code(), Some(0));
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(Path::new(page.trim()).is_file());

    let output = program(binary, &[folder.path().join("absent")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent"));
}
