//! The `cellgate` program.

fn main() {}
