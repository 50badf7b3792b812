//! Results as Markdown: one table for a README, between two markers, and a page of every case.

use crate::load::Run;
use crate::networks::{NetworkSum, sums};
use crate::numbers::{self, Ratio};
use crate::rows::Table;
use crate::summary::{self, FamilySummary};

const BEGIN: &str = "<!-- results:begin -->";
const END: &str = "<!-- results:end -->";

/// `text` with the table between the markers replaced; `None` if a marker is missing.
pub fn splice(text: &str, run: &Run) -> Option<String> {
    let (head, rest) = text.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{}{END}{tail}", summary(run)))
}

/// The networks' sums; nothing without one.
fn networks(table: &Table<'_>) -> String {
    let line = |n: NetworkSum| {
        let [ours, libtorch, ratio] = [n.ours_text(), n.libtorch_text(), n.libtorch.map(|v| v.ratio.text())]
            .map(|cell| cell.unwrap_or_else(|| "–".into()));
        let mark = if n.is_complete() { "" } else { " (incomplete)" };
        let (layers, gflop) = (n.convolutions(), n.gflop());
        format!("| {} | {} | {layers}{mark} | {gflop} | {ours} | {libtorch} | {ratio} |\n", n.network, n.threads)
    };
    let lines: String = sums(table).into_iter().map(line).collect();
    if lines.is_empty() {
        return lines;
    }
    format!(
        "\nConvolutions of whole networks, f32, one image: sums of the layers' medians. One that is incomplete is summed over \
         the layers that were timed.\n\n\
         | network | threads | convolutions | GFLOP | ours | libtorch | × libtorch |\n|---|--:|--:|--:|--:|--:|--:|\n{lines}"
    )
}

/// What was run, on what.
fn made_by(run: &Run) -> String {
    let fact = |name: &str| run.fact(&[name]).unwrap_or_else(|| "unknown".into());
    format!(
        "`{}` on {} ({}, libtorch {}), report `{}`. Ratios are peer / ours in paired rounds: above 1, ours is faster.\n\n",
        fact("command"),
        fact("cpu.model"),
        fact("cpu.isa"),
        fact("libtorch.version"),
        run.id
    )
}

/// What stands behind the name of an operator in that of its gradient.
const GRADIENT: &str = "_backward";

/// The operator of a gradient, or the operator itself.
fn forward(op: &str) -> &str {
    op.split_once(GRADIENT).map_or(op, |(forward, _)| forward)
}

/// Operators on one thread against their peers, a line for each with its gradients.
pub fn summary(run: &Run) -> String {
    let table = Table::new(run);
    let all = summary::by_operator(&table);
    let mut out = made_by(run)
        + "| one thread, f32 | cases | share of limit | × libtorch: mean (least) | gradient × libtorch |\n|---|--:|--:|---|---|\n";
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for f in &all {
        let line = (forward(&f.op), &*f.dtype);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    for (op, dtype) in lines {
        let (of_op, gradients): (Vec<&FamilySummary>, Vec<_>) =
            all.iter().filter(|f| forward(&f.op) == op && f.dtype == dtype).partition(|f| f.op == op);
        let types = if dtype == "f32" { "" } else { ", short types" };
        let cases: usize = of_op.iter().chain(&gradients).map(|f| f.cases).sum();
        let share = of_op.iter().find_map(|f| f.share);
        let share = share.map_or("–".into(), |[_, median, _]| format!("{} %", numbers::percent(median, 0.01)));
        let ratios = |of: &[&FamilySummary]| {
            let all: Vec<String> = of.iter().filter_map(|f| against(&table, f, "libtorch")).collect();
            if all.is_empty() { "–".into() } else { all.join(", ") }
        };
        out += &format!("| `{op}`{types} | {cases} | {share} | {} | {} |\n", ratios(&of_op), ratios(&gradients));
    }
    let mut others = Vec::new();
    for f in all.iter().filter(|f| f.dtype == "f32") {
        let of_peer = |peer: &String| against(&table, f, peer).map(|cell| format!("{peer} {cell}"));
        let cells: Vec<String> = table.peers.iter().filter(|peer| **peer != "libtorch").filter_map(of_peer).collect();
        if !cells.is_empty() {
            others.push(format!("`{}` × {}", f.op, cells.join(", ")));
        }
    }
    if !others.is_empty() {
        out += &format!("\nOther peers: {}.\n", others.join("; "));
    }
    out
}

/// The mean ratio to a peer, and the least, if there is one.
fn against(table: &Table<'_>, family: &FamilySummary, peer: &str) -> Option<String> {
    let place = table.peers.iter().position(|name| *name == peer)?;
    let (mean, least, _) = family.peers[place].as_ref()?;
    Some(format!("{} ({})", mean.text(), least.text()))
}

/// The cells of a family's peers.
fn peers(family: &FamilySummary) -> String {
    let cell = |p: &Option<(Ratio, Ratio, usize)>| {
        p.as_ref().map_or(" – |".into(), |(mean, least, _)| format!(" {} ({}) |", mean.text(), least.text()))
    };
    family.peers.iter().map(cell).collect()
}

/// A page: families against each peer, networks, then the cases of one thread in f32.
pub fn results(run: &Run) -> String {
    let table = Table::new(run);
    let mut out = format!("# Results\n\n{}", made_by(run));
    out += "| operator | dtype | threads | cases | share of limit: least, median, most |";
    table.peers.iter().for_each(|p| out += &format!(" × {p}: mean (least) |"));
    out += "\n|---|---|--:|--:|---|";
    table.peers.iter().for_each(|_| out += "---|");
    out += "\n";
    for f in summary::by_family(&table) {
        let share = f.share.map_or(String::new(), |s| s.map(|x| format!("{} %", numbers::percent(x, 0.01))).join(", "));
        out += &format!("| `{}` | {} | {} | {} | {share} |{}\n", f.op, f.dtype, f.threads, f.cases, peers(&f));
    }
    out += &networks(&table);
    out += "\n## Every case, f32, one thread\n\n| case | time | share |";
    table.peers.iter().for_each(|p| out += &format!(" × {p} |"));
    out += "\n|---|--:|--:|";
    table.peers.iter().for_each(|_| out += "--:|");
    out += "\n";
    for row in
        table.headlines().filter(|r| r.record.dtype == "f32" && r.record.threads == 1 && !r.record.peers.is_empty())
    {
        let Some(t) = &row.record.time else { continue };
        let half = row.half().unwrap_or(0.0);
        let (value, unit) = numbers::time(t.median_ns, half * t.median_ns);
        let share = row.record.work.share_of_peak.map_or("–".into(), |s| format!("{} %", numbers::percent(s, 0.01)));
        out += &format!("| `{}` {} | {value} {unit} | {share} |", row.record.op, row.workload());
        for peer in &table.peers {
            out += &row.ratio(peer).map_or(" – |".into(), |r| format!(" {} |", r.text()));
        }
        out += "\n";
    }
    out
}
