//! Any text as a label file and as the list of the variable LABELS: every label that comes out reads as itself.
//!
//! Not here: files and folders (`lobby::source`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::{label::Label, limits};

fuzz_target!(|text: &str| {
    let lines = all_labels(Label::split_lines(text));
    let list = all_labels(Label::split_list(text));
    assert!(list.iter().all(|label| !label.as_str().contains(',')));
    let joined = |separator: &str, labels: &[Label]| labels.iter().map(Label::as_str).collect::<Vec<_>>().join(separator);
    assert_eq!(all_labels(Label::split_lines(&joined("\n", &lines))), lines);
    assert_eq!(all_labels(Label::split_list(&joined(",", &list))), list);
});

fn all_labels<'a, E: std::fmt::Debug + 'a>(labels: impl Iterator<Item = Result<Label, E>>) -> Vec<Label> {
    let labels: Vec<_> = labels.filter_map(Result::ok).collect();
    for label in &labels {
        assert_eq!(label.as_str().parse().as_ref(), Ok(label));
        assert!(label.as_str().len() <= limits::LABEL_BYTES);
    }
    labels
}
