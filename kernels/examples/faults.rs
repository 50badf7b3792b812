//! Prints the planted faults, one line each: name, kind and what is wrong, with tabs between them.

fn main() {
    for fault in etalon_kernels::faults::ALL {
        println!("{}\t{}\t{}", fault.name, fault.kind.name(), fault.what);
    }
}
