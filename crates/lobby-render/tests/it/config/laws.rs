//! Laws of merging: it is associative, nothing changes nothing, and the last one wins.

use lobby_render::config::Partial;
use proptest::prelude::*;

/// One line of each kind of key: single ones, ones in blocks, short forms of blocks, lists, templates, ignored ones.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..9_u32).prop_map(|n| format!("rate = {n}")),
        (1..9_u32).prop_map(|n| format!("log_level = \"{}\"", ["info", "err"][n as usize % 2])),
        (1..9_u32).prop_map(|n| format!("consul {{ address = \"a:{n}\" }}")),
        (1..9_u32).prop_map(|n| format!("consul = \"b:{n}\"")),
        (1..9_u32).prop_map(|n| format!("consul {{ retry {{ attempts = {n} }} ssl {{ verify = {} }} }}", n > 4)),
        (1..9_u32).prop_map(|n| format!("wait {{ min = \"{n}s\" }}")),
        (1..9_u32).prop_map(|n| format!("wait = \"{n}s\"")),
        (1..9_u32).prop_map(|n| format!("wait {{ max = \"{}s\" enabled = {} }}", n + 40, n > 4)),
        (1..9_u32).prop_map(|n| format!("exec {{ command = \"x{n}\" env {{ custom = [\"A={n}\"] }} }}")),
        (1..9_u32).prop_map(|n| format!("exec {{ env {{ denylist = [\"{n}\"] pristine = {} }} }}", n > 4)),
        (1..9_u32).prop_map(|n| format!("template {{ source = \"{n}\" function_denylist = [\"{n}\"] }}")),
        Just("vault {}".to_owned()),
    ]
}

fn partial() -> impl Strategy<Value = Partial> {
    prop::collection::vec(line(), 0..6)
        .prop_map(|lines| Partial::from_hcl(&lines.join("\n")).unwrap_or_else(|error| panic!("{lines:?}: {error}")))
}

proptest! {
    #[test]
    fn associative(a in partial(), b in partial(), c in partial()) {
        let left = a.clone().merge(b.clone()).merge(c.clone());
        prop_assert_eq!(left, a.merge(b.merge(c)));
    }

    #[test]
    fn nothing_changes_nothing(a in partial()) {
        prop_assert_eq!(a.clone().merge(Partial::default()), a.clone());
        prop_assert_eq!(Partial::default().merge(a.clone()), a);
    }

    #[test]
    fn the_last_wins(a in partial(), n in 1..9_u32) {
        let blocks = format!("consul {{ address = \"z:{n}\" }} wait {{ min = \"{n}s\" enabled = true }}");
        let later = format!("rate = {n} {blocks} exec {{ command = \"z\" }}");
        let whole = a.merge(Partial::from_hcl(&format!("dry = true {later}")).expect("it is HCL"));
        let config = whole.resolve(|_| None).expect("it is good");
        let want = super::config(&later);
        prop_assert_eq!((config.settings.rate, config.settings.wait), (n, want.settings.wait));
        prop_assert_eq!(config.consul.address, want.consul.address);
        prop_assert_eq!(config.settings.exec.map(|exec| exec.argv), want.settings.exec.map(|exec| exec.argv));
    }

    #[test]
    fn templates_add_up(a in partial(), b in partial()) {
        let dry = || Partial::from_hcl("dry = true").expect("it is HCL");
        let count = |partial: Partial| partial.merge(dry()).resolve(|_| None).expect("it is good").settings.templates.len();
        prop_assert_eq!(count(a.clone()) + count(b.clone()), count(a.merge(b)));
    }
}
