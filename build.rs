//! Builds what the program carries inside itself: the driver, and the page.

#[path = "build/driver.rs"]
mod driver;
#[path = "build/page.rs"]
mod page;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    driver::build();
    page::build();
}
