//! `cargo xtask <command>`: one word for each thing one does with the suite.
//!
//! Commands that need libtorch and OpenBLAS set them up first. Exit codes: 0 fine, 1 parity or regression failure, 2 usage,
//! 3 inconclusive, 4 set-up.
#![forbid(unsafe_code)]

/// Writes a line to standard error, if that is possible.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::note(format_args!($($text)*)) };
}

mod check;
mod cpu;
mod doctor;
mod fault;
mod files;
mod fuzz;
mod help;
mod house;
mod interrupt;
mod mutants;
mod output;
mod process;
mod setup;
mod test;
mod tool;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about = "Set up, test, measure, report", after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 parity or regression failure, 2 usage, 3 inconclusive, 4 set-up.";

#[derive(Subcommand)]
enum Command {
    /// Provision libtorch and OpenBLAS
    Setup(setup::Arguments),
    /// Say what is wrong with this machine and how to mend it
    Doctor(doctor::Arguments),
    /// Set up, then run every test
    Test(test::Arguments),
    /// Formatting, lints, documentation, house rules and every test
    Check(check::Arguments),
    /// Set up, check and time everything, build the report
    #[command(after_help = help::BENCH)]
    Bench(tool::Arguments),
    /// Paired rounds of our kernels against their peers
    #[command(after_help = help::VERSUS)]
    Versus(tool::Arguments),
    /// Paired ratios beside those of programs alone
    #[command(after_help = help::AUDIT)]
    Audit(tool::Arguments),
    /// The numerical gate: kernels against reference and libtorch
    #[command(after_help = help::PARITY)]
    Parity(tool::Arguments),
    /// The largest error of each function over all arguments of f32
    #[command(after_help = help::ULP)]
    Ulp(tool::Arguments),
    /// Build the HTML report from records
    #[command(after_help = help::REPORT)]
    Report(tool::Arguments),
    /// Hold the records of two runs against each other
    #[command(after_help = help::COMPARE)]
    Compare(tool::Arguments),
    /// Fuzz problem validation and kernels
    Fuzz(fuzz::Arguments),
    /// Plant faults in kernels and checks, and see whether the gate finds them
    Mutants(mutants::Arguments),
    /// Freeze libtorch's answers into reference/golden/
    #[command(after_help = help::GOLDEN)]
    Golden(tool::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match interrupt::pass_on().and_then(|()| run(cli.command)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            note!("error: {error:#}");
            ExitCode::from(fault::code(&error))
        }
    }
}

fn run(command: Command) -> anyhow::Result<u8> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup(arguments) => setup::run(&workspace, &arguments),
        Command::Doctor(arguments) => doctor::run(&workspace, &arguments),
        Command::Test(arguments) => test::run(&workspace, &arguments),
        Command::Check(arguments) => check::run(&workspace, &arguments),
        Command::Bench(arguments) => tool::bench(&workspace, &arguments),
        Command::Versus(arguments) => tool::VERSUS.set_up_and_run(&workspace, &arguments),
        Command::Audit(arguments) => tool::AUDIT.set_up_and_run(&workspace, &arguments),
        Command::Parity(arguments) => tool::PARITY.set_up_and_run(&workspace, &arguments),
        Command::Ulp(arguments) => tool::ULP.set_up_and_run(&workspace, &arguments),
        Command::Report(arguments) => tool::REPORT.set_up_and_run(&workspace, &arguments),
        Command::Compare(arguments) => tool::COMPARE.set_up_and_run(&workspace, &arguments),
        Command::Fuzz(arguments) => fuzz::run(&workspace, &arguments),
        Command::Mutants(arguments) => mutants::run(&workspace, &arguments),
        Command::Golden(arguments) => tool::GOLDEN.set_up_and_run(&workspace, &arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_tools_pass_through() {
        let cli = Cli::parse_from(["x", "versus", "--peer", "libtorch", "gemm/square", "--profile", "smoke"]);
        let Command::Versus(arguments) = cli.command else { panic!("not versus") };
        assert_eq!(arguments.rest, ["--peer", "libtorch", "gemm/square", "--profile", "smoke"]);
    }
}
