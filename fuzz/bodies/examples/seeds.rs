//! `seeds FOLDER [TARGET…]`: writes the targets' seeds to `FOLDER/<target>/`, and prints of each target its program, its
//! operator and its name. Without targets, those of all.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use etalon_fuzz_bodies::seeds::seeds;
use etalon_fuzz_bodies::target::Target;

fn main() -> std::io::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| panic!("seeds FOLDER [TARGET…]"));
    let asked: Vec<String> = arguments.collect();
    let known: Vec<String> = Target::all().map(Target::name).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(name)) {
        eprintln!("error: no fuzz target {unknown}; there are {}", known.join(", "));
        return Ok(ExitCode::from(2));
    }
    for target in Target::all().filter(|target| asked.is_empty() || asked.contains(&target.name())) {
        let folder = Path::new(&folder).join(target.name());
        if folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        for (file, bytes) in seeds(target) {
            fs::write(folder.join(file), bytes)?;
        }
        println!("{} {} {}", target.program(), target.entry.operator.name, target.name());
    }
    Ok(ExitCode::SUCCESS)
}
