//! Tells the linker of a release program for Linux to put together what every agent runs (`layout.ld` says what).
//!
//! The kernel maps a program's pages sixteen at a time: whatever lies beside a function that runs counts as memory of the
//! agent too. Not here: debug builds, which link as ever.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=layout.ld");
    let is = |name, value| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("Cargo names the folder");
        println!("cargo:rustc-link-arg-bins=-T{folder}/layout.ld");
    }
}
