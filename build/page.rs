pub(crate) fn build() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(std::path::Path::new(&out).join("page.rs"), "const ASSETS: &[Asset] = &[];")
        .expect("w");
}
