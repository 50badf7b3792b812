//! The rules of the house: which room a line belongs to, and what no room may hold.

use std::fs;
use std::path::Path;

use crate::{fault, files};

/// Longest file.
const MAX_LINES: usize = 500;

/// Words that belong to some rooms alone. A room is a path or the beginning of one.
struct Rule {
    words: &'static [&'static str],
    rooms: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 5] = [
    Rule {
        words: &["unsafe"],
        rooms: &[
            "kernels/src/isa/",
            "kernels/src/kernel.rs",
            // The pool, and the splitting of outputs over its workers.
            "kernels/src/pool.rs",
            "kernels/src/disjoint.rs",
            // Drivers that cut outputs into tasks, and the steps from a token into its target features.
            "kernels/src/*/blocks.rs",
            "kernels/src/*/driver.rs",
            "kernels/src/*/few.rs",
            "kernels/src/*/skinny.rs",
            "kernels/src/*/small.rs",
            "kernels/src/*/stream.rs",
            "kernels/src/*/tile.rs",
            "kernels/src/*/channel.rs",
            "kernels/src/*/pixels.rs",
            "kernels/src/*/planes.rs",
            "kernels/src/*/rows.rs",
            "kernels/src/*/direct.rs",
            "kernels/src/*/depthwise.rs",
            "kernels/src/*/depthwise/",
            "kernels/src/*/turn.rs",
            "kernels/src/*/winograd/",
            "kernels/src/attention/scalar.rs",
            "kernels/src/attention_backward/scalar.rs",
            // Aligned and guarded buffers.
            "kernels/src/aligned.rs",
            "kernels/src/workspace.rs",
            "kernels/src/check/guard.rs",
            // A planted fault that reads behind an operand.
            "kernels/src/faults.rs",
            // Foreign functions, and peers that take raw pointers.
            "kernels/src/ffi/",
            "benches/src/peers/",
            // An allocator that counts, and kernels that are wrong on purpose.
            "kernels/tests/allocations.rs",
            "kernels/tests/wrong_kernels/",
        ],
        why: "unsafe code lives in isa/, the dispatch, the pool, the cutting of outputs, aligned and guarded buffers, and FFI",
    },
    Rule { words: &["tch::"], rooms: &["reference/src/torch/"], why: "libtorch is called from reference/src/torch/" },
    Rule {
        words: &["core::arch", "std::arch"],
        rooms: &["kernels/src/isa/", "kernels/src/*/avx2", "kernels/src/*/avx512", "xtask/src/cpu.rs", "benches/src/"],
        why: "intrinsics live in isa/ and in the kernels' ISA files",
    },
    Rule {
        words: &["Instant::now", "SystemTime"],
        rooms: &["benches/", "xtask/", "reports/"],
        why: "clocks are read where time is measured or written down",
    },
    Rule {
        words: &["println!", "eprintln!", "print!", "eprint!"],
        rooms: &[
            // Cargo reads what build scripts print, the doctor what the probe prints.
            "benches/build.rs",
            "kernels/build.rs",
            "reference/build.rs",
            "benches/src/bin/probe.rs",
            // Tests and examples.
            "*/tests/",
            "fuzz/",
            "kernels/examples/",
            "kernels/src/isa/wide/tests.rs",
            "kernels/src/check/guard.rs",
        ],
        why: "programs print by output::line and output::note: these macros panic in a closed pipe",
    },
];

/// What no file holds, and why.
const NOWHERE: [(&str, &str); 5] = [
    ("todo!", "unfinished code"),
    ("unimplemented!", "unfinished code"),
    ("TODO", "unfinished code"),
    ("FIXME", "unfinished code"),
    ("#[allow(", "write #[expect(…, reason = …)]"),
];

/// Crates without unsafe code, which say so.
const FORBIDDING: [&str; 4] =
    ["reference/src/lib.rs", "reports/src/lib.rs", "xtask/src/main.rs", "fuzz/bodies/src/lib.rs"];

/// The workspace's packages.
const MEMBERS: [&str; 6] = ["reference", "kernels", "fuzz/bodies", "benches", "reports", "xtask"];

/// Why a library and a program say so.
const BENCHED: &str =
    "`cargo bench -- OPTIONS` would hand criterion's options to its test harness, which stops at them";

/// Checks every Rust file of the workspace, and what its packages declare.
///
/// # Errors
/// With exit code 1 and one line for each breach.
pub fn check(root: &Path) -> anyhow::Result<()> {
    note!("== house rules");
    let mut breaches = Vec::new();
    for room in ["reference", "kernels", "benches", "reports", "xtask", "fuzz"] {
        for path in files::under(&root.join(room), Some("target"))? {
            let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            // This file names what it looks for.
            if name.ends_with(".rs") && name != "xtask/src/house.rs" {
                judge(&name, &fs::read_to_string(&path)?, &mut breaches);
            }
        }
    }
    for member in MEMBERS {
        let text = fs::read_to_string(root.join(member).join("Cargo.toml"))?;
        if let Some(target) = benched(&text) {
            breaches.push(format!("{member}/Cargo.toml: {target} without `bench = false`: {BENCHED}"));
        }
    }
    for file in FORBIDDING {
        let says = fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains("#![forbid(unsafe_code)]"));
        if !says {
            breaches.push(format!("{file}: no #![forbid(unsafe_code)]"));
        }
    }
    if breaches.is_empty() {
        return Ok(());
    }
    breaches.iter().for_each(|breach| note!("{breach}"));
    Err(fault::failure(format!("{} breaches of the house rules", breaches.len())))
}

/// The first library or program of a package that `cargo bench` would run with its own harness.
///
/// Every one has a table of its own: a library without one is benched, too.
fn benched(manifest: &str) -> Option<&str> {
    let tables: Vec<(&str, bool)> = manifest
        .split("\n[")
        .map(|table| {
            (table.lines().next().unwrap_or_default().trim_matches(['[', ']']), table.contains("\nbench = false"))
        })
        .collect();
    let targets = || tables.iter().filter(|(name, _)| ["lib", "bin"].contains(name));
    if targets().next().is_none() {
        return Some("a target");
    }
    targets().find(|(_, said)| !said).map(|(name, _)| *name)
}

/// Judges the text of one file.
fn judge(name: &str, text: &str, breaches: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > MAX_LINES {
        breaches.push(format!("{name}: {lines} lines; past {MAX_LINES} look for the second idea"));
    }
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        for (word, why) in NOWHERE {
            if line.contains(word) {
                breaches.push(format!("{at}: {word} — {why}"));
            }
        }
        let code = code_of(line);
        for rule in &RULES {
            let breach = rule.words.iter().find(|word| has_word(&code, word));
            if let Some(word) = breach.filter(|_| !rule.rooms.iter().any(|room| is_in(name, room))) {
                breaches.push(format!("{at}: {word} — {}", rule.why));
            }
        }
    }
}

/// Whether a path begins as a room does; a `*` stands for one folder.
fn is_in(name: &str, room: &str) -> bool {
    let Some((before, after)) = room.split_once('*') else {
        return name.starts_with(room);
    };
    let rest = name.strip_prefix(before).and_then(|rest| rest.find('/').map(|end| &rest[end..]));
    rest.is_some_and(|rest| rest.starts_with(after))
}

/// A line without its comment and without the contents of its string literals.
fn code_of(line: &str) -> String {
    let (mut code, mut in_string, mut previous) = (String::new(), false, ' ');
    for character in line.chars() {
        if !in_string && character == '/' && previous == '/' {
            code.pop();
            return code;
        }
        if character == '"' && previous != '\\' && previous != '\'' {
            in_string = !in_string;
        } else if !in_string {
            code.push(character);
        }
        previous = character;
    }
    code
}

/// Whether code holds a word by itself, not within a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let within = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(start, _)| {
        let ends_open = word.ends_with(|c: char| !c.is_alphanumeric());
        !within(code[..start].chars().next_back()) && (ends_open || !within(code[start + word.len()..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(name: &str, text: &str) -> usize {
        let mut list = Vec::new();
        judge(name, text, &mut list);
        list.len()
    }

    #[test]
    fn words_stay_in_their_rooms() {
        assert_eq!(breaches("kernels/src/gemm/pack.rs", "unsafe { x }"), 1);
        assert_eq!(breaches("kernels/src/isa/avx2.rs", "unsafe { x }"), 0);
        assert_eq!(breaches("reference/src/ops/gemm.rs", "use tch::Tensor;"), 1);
        assert_eq!(breaches("reference/src/torch/gemm.rs", "use tch::Tensor;"), 0);
        assert_eq!(breaches("kernels/src/gemm/avx512.rs", "use core::arch::x86_64::*;"), 0);
        assert_eq!(breaches("kernels/src/gemm/pack.rs", "use core::arch::x86_64::*;"), 1);
        assert_eq!(breaches("kernels/src/pool.rs", "let t = Instant::now();"), 1);
        assert_eq!(breaches("benches/src/paired.rs", "let t = Instant::now();"), 0);
        assert_eq!(breaches("reports/src/bin/etalon-report.rs", "println!(\"{page}\");"), 1);
        assert_eq!(breaches("reports/tests/reports/main.rs", "println!(\"{page}\");"), 0);
    }

    #[test]
    fn comments_strings_and_longer_names_do_not_count() {
        let quiet = "//! unsafe\n#![forbid(unsafe_code)] // unsafe\nlet s = \"unsafe { \";\nlet fetch::x = 1;\n";
        assert_eq!(breaches("reference/src/lib.rs", quiet), 0);
    }

    #[test]
    fn nothing_but_benchmarks_is_benched() {
        let both = "[package]\nname = \"x\"\n\n[lib]\nname = \"x\"\nbench = false\n\n[[bin]]\nname = \"y\"\n";
        assert_eq!(benched(both), Some("bin"));
        assert_eq!(benched(&format!("{both}bench = false\n")), None);
        assert_eq!(benched("[package]\nname = \"x\"\n"), Some("a target"));
        for member in MEMBERS {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(member).join("Cargo.toml");
            assert_eq!(benched(&fs::read_to_string(path).unwrap()), None, "{member}");
        }
    }

    #[test]
    fn unfinished_and_overlong_files_are_named() {
        assert_eq!(breaches("reports/src/page.rs", "// TODO: colours"), 1);
        assert_eq!(breaches("reports/src/page.rs", "#[allow(dead_code)]"), 1);
        assert_eq!(breaches("reports/src/page.rs", &"\n".repeat(MAX_LINES + 1)), 1);
    }
}
