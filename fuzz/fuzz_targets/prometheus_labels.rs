//! Any labels of a stranger's node as Prometheus targets.
//!
//! The first line of the input is the name that is asked for, each further one a label.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::label::Label;
use lobby_http::prometheus::target;

fuzz_target!(|text: &str| {
    let (name, lines) = text.split_once('\n').unwrap_or((text, ""));
    let labels: Vec<_> = Label::split_lines(lines).filter_map(Result::ok).collect();
    let Some(group) = target::group("host", labels.iter().map(Label::as_str), name, 9100) else { return };
    for key in group.labels.keys() {
        let good = |(idx, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (idx > 0 && c.is_ascii_digit());
        assert!(!key.is_empty() && key.char_indices().all(good), "Prometheus refuses {key:?}");
    }
    for target in &group.targets {
        let bad = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        assert!(!target.is_empty() && !target.contains(bad), "Prometheus refuses {target:?}");
    }
    let text = serde_json::to_string(&group).expect("a group is JSON");
    assert_eq!(serde_json::from_str::<target::Group>(&text).expect("a group reads back"), group);
});
