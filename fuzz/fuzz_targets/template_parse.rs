//! Any text as a template, with the usual delimiters and with others: what is read prints as the same, and what is not is
//! an error on a line that there is.
//!
//! Not here: running templates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_template::{Options, parse, print};

fuzz_target!(|text: &str| {
    for (left, right) in [("", ""), ("<<", ">>"), ("[", "-")] {
        match parse("t", text, &Options { left, right }, &known) {
            Ok(trees) => {
                let again = parse("t", &print(&trees), &Options::default(), &known).expect("what we print we read");
                assert_eq!(again, trees);
            }
            Err(error) => assert!((1..=text.split('\n').count()).contains(&error.line), "{error}"),
        }
    }
});

/// Functions, of which one is a keyword elsewhere.
fn known(name: &str) -> bool {
    ["print", "len", "index", "f", "continue"].contains(&name)
}
