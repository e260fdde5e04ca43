//! Builds what the program carries inside itself: the driver, and the page.

#[path = "build/driver.rs"]
mod driver;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    driver::build();
}
