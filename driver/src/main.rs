//! PID 1 of every sandbox.

mod jail;
mod janitor;
mod supervisor;

fn main() {
    let code = match std::env::args().nth(1).as_deref() {
        Some("jail") => jail::run(),
        Some("janitor") => janitor::run(),
        _ => 2,
    };
    std::process::exit(code);
}
