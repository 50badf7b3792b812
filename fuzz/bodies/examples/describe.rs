//! `describe TARGET FILE…`: the case id that each file of bytes stands for, without running it.

use etalon_fuzz_bodies::{kernels, problem};
use etalon_kernels::registry;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().unwrap_or_else(|| panic!("describe TARGET FILE…"));
    for file in arguments {
        let bytes = std::fs::read(&file)?;
        let text = match target.strip_suffix("_problem").and_then(registry::find) {
            Some(entry) => problem::decode(entry.operator, &bytes).to_string(),
            None => kernels::describe(&target, &bytes),
        };
        println!("{file}: {text}");
    }
    Ok(())
}
