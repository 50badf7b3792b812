//! `describe TARGET FILE…`: what each file of bytes stands for, as a line of `regressions.txt`, without running it.

use etalon_fuzz_bodies::regression::Regression;
use etalon_fuzz_bodies::target::Target;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| panic!("describe TARGET FILE…"));
    let target = Target::find(&name).unwrap_or_else(|| panic!("no fuzz target `{name}`"));
    for file in arguments {
        let found = Regression::of(target, &std::fs::read(&file)?);
        println!("{}", found.map_or_else(|| format!("# {file}: no problem"), |line| line.to_string()));
    }
    Ok(())
}
