//! Lobby's own functions: nodes by a selector, their labels, instances by a selector.

use std::sync::Arc;

use lobby_render::answer::LabelledNode;
use lobby_render::{Answer, Query};

use super::source_functions::instance;
use super::{data, error, evaluate, render};

fn node(name: &str, labels: &[&str]) -> LabelledNode {
    LabelledNode {
        id: format!("{name}-id"),
        name: name.into(),
        state: "alive".into(),
        addresses: vec!["10.0.0.7".into(), "fe80::1".into()],
        labels: labels.iter().map(|label| (*label).into()).collect(),
    }
}

fn selected(selector: &str) -> (Query, Answer) {
    let nodes = [node("a", &["role:db", "zone:eu", "zone:us"]), node("b", &["plain", "zone:eu"])];
    (Query::Selected { selector: selector.into() }, Answer::Selected(nodes.into()))
}

#[test]
fn nodes_of_a_selector_have_fields_and_labels_by_name() {
    let template = "{{range where \"label=zone:eu\"}}{{.ID}} {{.Name}} {{.State}} {{.Addresses}} {{.Labels}} {{.Label \"zone\"}} \
                    {{.Values \"zone\"}} {{.Has \"plain\"}} [{{.Label \"none\"}}]\n{{end}}";
    let want = "a-id a alive [10.0.0.7 fe80::1] [role:db zone:eu zone:us] eu [eu us] false []\n\
                b-id b alive [10.0.0.7 fe80::1] [plain zone:eu] eu [eu] true []\n";
    assert_eq!(render(template, [selected("label=zone:eu")]), want);
}

#[test]
fn labels_are_told_once_and_sorted() {
    assert_eq!(render("{{labels}}", [selected("")]), "[plain role:db zone:eu zone:us]");
    assert_eq!(render("{{range labels \"tag=x\"}}{{.}} {{end}}", [selected("tag=x")]), "plain role:db zone:eu zone:us ");
}

#[test]
fn instances_may_be_of_one_service_or_of_all() {
    for (call, service, selector) in [
        ("instances", None, ""),
        ("instances \"www\"", Some("www"), ""),
        ("instances \"www\" \"tag=v2 and status=passing\"", Some("www"), "tag=v2 and status=passing"),
        ("instances \"\" \"tag=v2\"", None, "tag=v2"),
    ] {
        let query = Query::Instances { service: service.map(str::to_owned), selector: selector.into() };
        let template = format!("{{{{range {call}}}}}{{{{.Name}}}}/{{{{.ID}}}}:{{{{.Port}}}}{{{{end}}}}");
        let (_, questions) = evaluate(&template, data([]));
        assert_eq!(questions.missing, [query.clone()].into());
        let answer = Answer::Instances([Arc::new(instance("i", 80))].into());
        assert_eq!(render(&template, [(query, answer)]), "www/i:80");
    }
}

#[test]
fn what_is_no_selector_is_refused_before_anybody_is_asked() {
    for call in ["where \"color=red\"", "labels \"and\"", "instances \"web\" \"status=odd\"", "instances \"a\" \"\" \"b\""] {
        let template = format!("{{{{{call}}}}}");
        assert!(error(&template, []).contains("error calling"), "{call}");
        assert_eq!(evaluate(&template, data([])).1.used.len(), 0);
    }
}
