//! Prints the table of targets for `cargo xtask fuzz`: part, name, longest input.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "that is what it is for")]

fn main() {
    for target in hearth_fuzz::TARGETS {
        println!("{} {} {}", target.part, target.name, target.most);
    }
}
