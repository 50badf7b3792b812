//! `check`: what a contributor runs, and CI: formatting, house rules, lints, documentation, tests.

use clap::Args;

use crate::process::{self, FEATURES, step};
use crate::setup;
use crate::workspace::Workspace;
use crate::{house, test};

/// Arguments of `check`.
#[derive(Args)]
pub struct Arguments {
    /// Leave the tests out: formatting, house rules, lints and documentation alone
    #[arg(long)]
    pub no_test: bool,
    /// The house rules alone
    #[arg(long)]
    pub house: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<u8> {
    if arguments.house {
        house::check(workspace.root())?;
        return Ok(0);
    }
    let mut format = process::plain_cargo(workspace);
    step("formatting", format.args(["fmt", "--all", "--check"]))?;
    house::check(workspace.root())?;
    let provision = setup::ensure(workspace)?;
    for features in [None, Some(FEATURES)] {
        let mut clippy = process::cargo(workspace, &provision);
        clippy.args(["clippy", "--workspace", "--all-targets"]);
        clippy.args(features.iter().flat_map(|features| ["--features", features]));
        clippy.args(["--", "-D", "warnings"]);
        step(&format!("lints ({})", features.unwrap_or("no features")), &mut clippy)?;
    }
    let mut docs = process::cargo(workspace, &provision);
    docs.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--features", FEATURES]);
    step("documentation", docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    if arguments.no_test {
        return Ok(0);
    }
    test::run(workspace, &test::Arguments { plain: false })
}
