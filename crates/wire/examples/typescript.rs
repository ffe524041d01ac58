//! Prints the wire's types in TypeScript: `cargo xtask gen` keeps what it prints.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    print!("{}", boocoder_wire::typescript::module());
}
