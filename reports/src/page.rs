//! The folder: `index.html` with style, script and pictures in it, the raw records and exports beside it. Opens offline.
//! The page is well-formed XML too, so that any XML reader can query it.

use std::fs;
use std::path::Path;

use etalon_reference::record::{Environment, Record, Status};
use minijinja::{AutoEscape, Environment as Templates, Value, context};

use crate::export;
use crate::gate;
use crate::load::{Run, fact_text};
use crate::networks;
use crate::numbers::{self, Ratio};
use crate::output::{self, WriteError};
use crate::pictures::{self, Picture};
use crate::precision;
use crate::rows::{Row, Table, is_peer};
use crate::sections;
use crate::summary::{self, ParityVerdict};
use crate::winograd::{self, Study};

const TEMPLATE: &str = include_str!("../templates/page.html");
const STYLE: &str = include_str!("../templates/page.css");
const SCRIPT: &str = include_str!("../templates/page.js");

/// Why a page could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The file system said no.
    #[error("the report")]
    Write(#[from] WriteError),
    /// The template.
    #[error("the template: {0}")]
    Template(#[from] minijinja::Error),
    /// A picture.
    #[error("a picture: {0}")]
    Picture(String),
    /// An export.
    #[error("an export: {0}")]
    Export(String),
}

/// A cell of the table of results.
struct Cell {
    /// What is shown.
    text: String,
    /// What sorts; nothing sorts last.
    key: Option<f64>,
    /// Class names.
    class: &'static str,
    /// Shown on hovering.
    title: String,
}

/// Writes the folder `out`.
///
/// # Errors
/// [`PageError`].
pub fn write(run: &Run, out: &Path) -> Result<(), PageError> {
    let table = Table::new(run);
    let peaks: Vec<_> = run.environments.iter().flat_map(|(_, e)| e.peaks.clone()).collect();
    let pictures = pictures::all(&table, &peaks).map_err(|e| PageError::Picture(e.to_string()))?;
    let study = winograd::study(&table).unwrap_or_default();
    let drawn = winograd::pictures(&study).map_err(|e| PageError::Picture(e.to_string()))?;
    let html = html(run, &table, &pictures, (&study, &drawn))?;
    let save = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        let folder = path.parent().unwrap_or(out);
        let error = |source| WriteError { to: folder.display().to_string(), source };
        fs::create_dir_all(folder).map_err(error)?;
        output::save(&path, bytes)
    };
    let json =
        |value: &serde_json::Value| serde_json::to_vec_pretty(value).map_err(|e| PageError::Export(e.to_string()));
    save("export/bencher.json", &json(&export::bencher(&table))?)?;
    save("export/github-action-benchmark.json", &json(&export::github_action(&table))?)?;
    save("export/results.csv", &export::csv(&table).map_err(|e| PageError::Export(e.to_string()))?)?;
    for source in &run.sources {
        save(&format!("data/{}", source.name), &source.bytes)?;
    }
    // The page last: where it is, all that it links to is.
    save("index.html", html.as_bytes())?;
    Ok(())
}

fn html(
    run: &Run,
    table: &Table<'_>,
    pictures: &[Picture],
    (study, drawn): (&Study, &[Picture]),
) -> Result<String, PageError> {
    let mut templates = Templates::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_template("page", TEMPLATE)?;
    let parity = summary::parity(&run.records);
    let verdict = match summary::verdict(&parity) {
        ParityVerdict::Pass => "pass",
        ParityVerdict::Fail => "fail",
        ParityVerdict::Nothing => "nothing",
    };
    let shown = |r: &Ratio| format!("{} ×", r.text());
    let peers: Vec<_> = summary::by_peer(table)
        .into_iter()
        .map(|p| {
            context! {
                peer => p.peer, cases => p.cases, mean => shown(&p.mean), interval => p.mean.interval(), word => p.mean.word(),
                worst => shown(&p.worst.0), worst_label => p.worst.1, worst_anchor => p.worst.2, worst_word => p.worst.0.word(),
                best => shown(&p.best.0), best_label => p.best.1, best_anchor => p.best.2,
                faster => p.words[0], even => p.words[1], slower => p.words[2],
            }
        })
        .collect();
    let shares: Vec<_> = summary::by_bound(table)
        .into_iter()
        .map(|s| {
            let (least, most) = (&s.shares[0], &s.shares[s.shares.len() - 1]);
            context! {
                bound => s.bound.clone(), dtype => s.dtype.clone(), threads => s.threads, cases => s.shares.len(),
                median => numbers::percent(s.median(), 0.01),
                least => numbers::percent(least.0, 0.01), least_label => least.1.clone(), least_anchor => least.2.clone(),
                most => numbers::percent(most.0, 0.01), most_label => most.1.clone(), most_anchor => most.2.clone(),
            }
        })
        .collect();
    let families: Vec<_> = summary::by_family(table)
        .into_iter()
        .map(|f| {
            let peers: Vec<_> = f
                .peers
                .iter()
                .map(|p| {
                    p.as_ref().map(|(mean, worst, cases)| {
                        context! {
                            mean => shown(mean), worst => shown(worst), cases => cases, word => mean.word(),
                        }
                    })
                })
                .collect();
            context! {
                op => f.op, dtype => f.dtype, threads => f.threads, cases => f.cases, peers => peers,
                share => f.share.map(|s| s.map(|x| numbers::percent(x, 0.01)).to_vec()),
            }
        })
        .collect();
    let checks: Vec<_> = parity
        .iter()
        .map(|p| {
            context! {
                op => p.op.clone(), kernel => p.kernel.clone(), dtype => p.dtype.clone(), counts => p.counts.to_vec(),
                headroom => p.headroom.map(numbers::share), max_abs => p.max_abs.map(numbers::error),
                libtorch => p.libtorch_max_abs.map(numbers::error), formulas => p.formulas.clone(),
            }
        })
        .collect();
    let failures: Vec<_> = run
        .records
        .iter()
        .filter(|r| r.status == Status::Failed)
        .map(|r| context! { id => r.id.clone(), reason => r.reason.clone() })
        .collect();
    let environments: Vec<_> = run.environments.iter().map(|(name, e)| environment(name, e)).collect();
    let lines: Vec<_> = table.rows.iter().map(|row| line(row, table)).collect();
    let timed = table.rows.iter().filter(|r| r.record.time.is_some()).count();
    let sources: Vec<_> = run
        .sources
        .iter()
        .map(|s| context! { name => s.name.clone(), records => s.records, bytes => s.bytes.len() })
        .collect();
    Ok(templates.get_template("page")?.render(context! {
        style => STYLE, script => SCRIPT, id => run.id.clone(), fixture => run.is_fixture(), verdict => verdict,
        command => run.fact(&["command"]), sha => run.fact(&["git.sha"]), cpu => run.fact(&["cpu.model"]),
        isa => run.fact(&["cpu.isa"]), libtorch => run.fact(&["libtorch.version"]),
        peer_names => table.peers.clone(), peers => peers, shares => shares, networks => sections::networks(&networks::sums(table)),
        states => sections::states(table), state => table.state.clone(), audit => sections::audit(&run.audits), gate => gate::section(&run.checks),
        precision => precision::section(table), study => sections::winograd(study), study_threads => study.threads.clone(), study_pictures => sections::pictures(drawn),
        families => families, checks => checks, detection => sections::detection(), wrong => sections::wrong_kernels(),
        failures => failures, environments => environments, pictures => sections::pictures(pictures), lines => lines, timed => timed,
        records => run.records.len(), sources => sources, year => year(run),
    })?)
}

/// The year of the run, from its id's seconds, for the citation.
fn year(run: &Run) -> i32 {
    // The first number in it: another one tells runs of one second apart.
    let seconds = run.records.first().and_then(|r| r.run_id.split('-').find_map(|part| part.parse::<i64>().ok()));
    let date = seconds.and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    date.unwrap_or_else(time::OffsetDateTime::now_utc).year()
}

fn environment(name: &str, e: &Environment) -> Value {
    let facts: Vec<(String, String)> = e.facts.iter().map(|(k, v)| (k.clone(), fact_text(v))).collect();
    let peaks: Vec<_> = e
        .peaks
        .iter()
        .map(|p| {
            let what = [p.kind.as_str(), &p.isa, &p.dtype, &p.level].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>();
            context! { what => what.join(" "), threads => p.threads, value => numbers::show(p.value, 0.0), unit => p.unit.clone() }
        })
        .collect();
    context! { name => name, complete => e.complete, missing => e.missing.clone(), facts => facts, peaks => peaks }
}

fn line(row: &Row<'_>, table: &Table<'_>) -> Value {
    let r = row.record;
    let cells: Vec<Value> = cells(row, r, table)
        .into_iter()
        .map(|c| context! { text => c.text, key => sort_key(c.key), class => c.class, title => c.title })
        .collect();
    context! {
        anchor => row.anchor.clone(), op => r.op.clone(), workload => row.workload(),
        source => r.source.clone().unwrap_or_default(), dtype => r.dtype.clone(), threads => r.threads,
        kernel => r.kernel.clone(), tags => row.tags().join(", "), id => r.id.clone(), shown => row.shown,
        status => export::status(r), reason => note(row), cells => cells,
    }
}

/// What is to be known of a row: that its rounds are few, and the record's reason.
fn note(row: &Row<'_>) -> String {
    row.few().into_iter().chain(row.record.reason.clone()).collect::<Vec<_>>().join("; ")
}

/// A number that the page's script reads; the largest stands for infinity, as everywhere behind the loader.
fn sort_key(key: Option<f64>) -> String {
    match key {
        Some(key) if key >= f64::MAX => "Infinity".into(),
        Some(key) => key.to_string(),
        None => String::new(),
    }
}

fn cells(row: &Row<'_>, r: &Record, table: &Table<'_>) -> Vec<Cell> {
    let empty = || Cell { text: String::new(), key: None, class: "", title: String::new() };
    let plain = |text: String, key: f64| Cell { text, key: Some(key), class: "", title: String::new() };
    let mut cells = Vec::new();
    let half = row.half().unwrap_or(0.0);
    match &r.time {
        Some(t) => {
            let shown = |ns: f64| {
                let (value, unit) = numbers::time(ns, half * t.median_ns);
                format!("{value} {unit}")
            };
            let [low, high, p05, p95] = [t.low_ns, t.high_ns, t.p05_ns, t.p95_ns].map(shown);
            let title = format!("{} samples; interval {low} to {high}; p05 {p05}, p95 {p95}", t.n);
            cells.push(Cell { text: shown(t.median_ns), key: Some(t.median_ns), class: "", title });
            let text = format!("± {} %", numbers::show(half * 100.0, half * 50.0));
            let class = if row.is_noisy() { "noisy" } else { "" };
            cells.push(Cell {
                text,
                key: Some(half),
                class,
                title: if row.is_noisy() { "noisy: no fine conclusions".into() } else { String::new() },
            });
        }
        None => {
            let status = export::status(r);
            cells.push(Cell {
                text: status.into(),
                key: None,
                class: status,
                title: r.reason.clone().unwrap_or_default(),
            });
            cells.push(empty());
        }
    }
    let rate = |x: Option<f64>| x.map_or_else(empty, |x| plain(numbers::show(x, (half * x).max(x / 200.0)), x));
    cells.push(rate(r.work.gflops));
    cells.push(rate(r.work.gbytes));
    cells.push(r.work.share_of_peak.map_or_else(empty, |s| Cell {
        text: format!("{} %", numbers::percent(s, (half * s).max(0.005))),
        key: Some(s),
        class: if is_peer(&r.kernel) { "" } else { "share" },
        title: r.work.bound.clone().unwrap_or_default(),
    }));
    for peer in &table.peers {
        cells.push(row.ratio(peer).map_or_else(empty, |ratio| Cell {
            text: format!("{} [{}]", ratio.text(), ratio.interval()),
            key: Some(ratio.value),
            class: ratio.word(),
            title: format!("{} than {peer}", ratio.word()),
        }));
    }
    match &r.accuracy {
        Some(a) => {
            let theirs = a.libtorch_max_abs.map_or(String::new(), |e| format!("; libtorch {}", numbers::error(e)));
            let title = format!("{}: {}{theirs}", a.output, a.formula);
            cells.push(Cell { text: numbers::error(a.max_abs), key: Some(a.max_abs), class: "", title });
            let headroom = a.headroom.unwrap_or(f64::INFINITY);
            cells.push(plain(numbers::share(headroom), headroom));
        }
        None => cells.extend([empty(), empty()]),
    }
    cells
}
