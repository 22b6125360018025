//! consul-template's functions over answers: what each gives, what it asks, and what a template waits for.

use std::sync::Arc;

use lobby_render::answer::{CatalogService, HealthCheck, HealthService, KeyPair, Node, NodeService, NodeServices};
use lobby_render::{Answer, Query};
use lobby_template::MissingKey;

use super::{data, error, evaluate, pass, print, render};

/// The template of the talk that people begin with, as it stands there.
const TALK: &str = "frontend http-in\n  bind 0.0.0.0:80\n  default_backend www\nbackend www{{range service \"www\"}}\n  server {{.ID}} \
                    {{.Address}}:{{.Port}}{{end}}\n";

pub(crate) fn instance(id: &str, port: u16) -> HealthService {
    HealthService { id: id.into(), name: "www".into(), address: "10.0.0.1".into(), port, ..HealthService::default() }
}

fn service(text: &str, instances: impl IntoIterator<Item = HealthService>) -> (Query, Answer) {
    (Query::service(text).unwrap(), Answer::Service(instances.into_iter().map(Arc::new).collect()))
}

fn key(path: &str, value: Option<&str>) -> (Query, Answer) {
    (Query::key(path).unwrap(), Answer::Key(value.map(|value| Arc::from(value.as_bytes()))))
}

fn keys(prefix: &str, pairs: &[(&str, &str)]) -> (Query, Answer) {
    let pair = |(key, value): &(&str, &str)| KeyPair {
        path: format!("{prefix}/{key}"),
        key: (*key).into(),
        value: Arc::from(value.as_bytes()),
        modify_index: 7,
        ..KeyPair::default()
    };
    (Query::keys(prefix).unwrap(), Answer::Keys(pairs.iter().map(pair).collect()))
}

#[test]
fn the_template_of_the_talk_lists_whoever_is_there() {
    let servers = |count: u16| (0..count).map(|i| instance(&format!("www{i}"), 8000 + i));
    for (count, lines) in
        [(0, ""), (1, "\n  server www0 10.0.0.1:8000"), (2, "\n  server www0 10.0.0.1:8000\n  server www1 10.0.0.1:8001")]
    {
        let want = format!("frontend http-in\n  bind 0.0.0.0:80\n  default_backend www\nbackend www{lines}\n");
        assert_eq!(render(TALK, [service("www", servers(count))]), want);
    }
}

#[test]
fn without_an_answer_there_is_a_question() {
    let (_, questions) = evaluate(TALK, data([]));
    assert_eq!(questions.missing, [Query::service("www").unwrap()].into());
    assert_eq!(questions.used, questions.missing);
}

#[test]
fn an_answer_leads_to_the_next_question() {
    let template = "{{range services}}{{.Name}}:{{range service .Name}}{{.ID}} {{end}}{{end}}";
    let names = ["a", "b"].map(|name| CatalogService { name: name.into(), tags: Vec::new() });
    let services = (Query::services("").unwrap(), Answer::Services(names.into()));
    let (_, questions) = evaluate(template, data([services.clone()]));
    assert_eq!(questions.missing, ["a", "b"].map(|name| Query::service(name).unwrap()).into());
    let answers = [services, service("a", [instance("x", 1)]), service("b", [])];
    assert_eq!(render(template, answers), "a:x b:");
}

#[test]
fn an_instance_has_the_fields_that_consul_template_gives_it() {
    let texts = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let check = HealthCheck { check_id: "c".into(), status: "passing".into(), kind: "ttl".into(), ..HealthCheck::default() };
    let full = HealthService {
        node: "n".into(),
        node_id: "nid".into(),
        node_address: "na".into(),
        node_tagged_addresses: texts("lan", "nl"),
        node_meta: texts("rack", "r"),
        service_meta: texts("ver", "3"),
        service_tagged_addresses: [("wan".to_owned(), ("sw".to_owned(), 81))].into(),
        tags: vec!["a".into(), "b".into()],
        checks: vec![check],
        status: "passing".into(),
        weight_passing: 10,
        weight_warning: 2,
        draining: true,
        ..instance("i", 80)
    };
    let answers = || [service("www", [full.clone()])];
    let shown = |field: &str| render(&format!("{{{{range service \"www\"}}}}{{{{{field}}}}}{{{{end}}}}"), answers());
    for (field, want) in [
        (".Node", "n"),
        (".NodeID", "nid"),
        (".NodeAddress", "na"),
        (".NodeTaggedAddresses.lan", "nl"),
        (".NodeMeta.rack", "r"),
        (".NodeMeta.missing", ""),
        (".ServiceMeta.ver", "3"),
        (".Address", "10.0.0.1"),
        (".ServiceTaggedAddresses.wan.Address", "sw"),
        (".ServiceTaggedAddresses.wan.Port", "81"),
        (".ID", "i"),
        (".Name", "www"),
        (".Tags", "[a b]"),
        ("index .Tags 1", "b"),
        ("range .Checks}}{{.CheckID}} {{.Status}} {{.Type}} {{len .Output}}{{end", "c passing ttl 0"),
        (".Status", "passing"),
        (".Port", "80"),
        ("printf \"%T\" .Port", "int"),
        (".Weights.Passing", "10"),
        (".Weights.Warning", "2"),
        (".Draining", "true"),
    ] {
        assert_eq!(shown(field), want, "{field}");
    }
    let misspelt = error("{{range service \"www\"}}{{.Adress}}{{end}}", answers());
    assert!(misspelt.contains("can't evaluate field Adress in type *dependency.HealthService"), "{misspelt}");
    let missing = "{{range service \"www\"}}{{.NodeMeta.missing}}{{end}}";
    assert!(print(missing, &Arc::new(pass(data(answers()))), MissingKey::Error).unwrap_err().contains("missing"));
}

#[test]
fn a_list_prints_its_elements_in_the_order_of_gos_fields() {
    let answers =
        [(Query::services("").unwrap(), Answer::Services([CatalogService { name: "a".into(), tags: vec!["x".into()] }].into()))];
    assert_eq!(render("{{services}}", answers), "[{a [x]}]");
}

#[test]
fn filters_may_stand_in_an_argument_of_their_own() {
    let answers = || [service("www|warning,passing", [instance("i", 80)])];
    for call in
        ["service \"www\" \"passing,warning\"", "service \"www|warning,passing\"", "\"passing,warning\" | service \"www\""]
    {
        assert_eq!(render(&format!("{{{{len ({call})}}}}"), answers()), "1");
    }
}

#[test]
fn empty_arguments_ask_nothing() {
    for (template, want) in [
        ("{{len (service \"\")}}", "0"),
        ("{{key \"\"}}", ""),
        ("{{keyExists \"\"}}", "false"),
        ("{{keyOrDefault \"\" \"d\"}}", "d"),
        ("{{len (ls \"\")}}", "0"),
        ("{{file \"\"}}", ""),
    ] {
        let (printed, questions) = evaluate(template, data([]));
        assert_eq!((printed.as_deref(), questions.used.len()), (Ok(want), 0), "{template}");
    }
}

#[test]
fn arguments_that_are_no_question_fail_with_consul_templates_words() {
    for (call, want) in [
        ("service \"we b\"", "error calling service: health.service: invalid format: \"we b\""),
        ("service \"web\" \"x\"", "error calling service: health.service: invalid filter: \"x\" in \"web|x\""),
        ("services \"x\"", "error calling services: catalog.services: invalid format: \"x\""),
        ("nodes \"x\"", "error calling nodes: catalog.nodes: invalid format: \"x\""),
        ("node \"a b\"", "error calling node: catalog.node: invalid format: \"a b\""),
        ("key \"a@b@c\"", "error calling key: kv.get: invalid format: \"a@b@c\""),
        ("tree \"a@b@c\"", "error calling tree: kv.list: invalid format: \"a@b@c\""),
    ] {
        let error = error(&format!("x\n{{{{{call}}}}}"), []);
        assert!(error.starts_with("template: :2:") && error.ends_with(want), "{error}");
    }
}

#[test]
fn a_key_is_waited_for_until_it_is_there() {
    for answer in [None, Some(key("a", None))] {
        let (_, questions) = evaluate("{{key \"a\"}}", data(answer));
        assert_eq!(questions.missing, [Query::key("a").unwrap()].into());
    }
    assert_eq!(render("{{key \"a\"}}", [key("a", Some(""))]), "");
    assert_eq!(render("{{key \"/a\"}}", [key("a", Some("1\n"))]), "1\n");
}

#[test]
fn a_default_stands_in_for_a_key_that_is_absent_or_empty() {
    for (value, want) in [(None, "d false"), (Some(""), "d true"), (Some("v"), "v true")] {
        assert_eq!(render("{{keyOrDefault \"a\" \"d\"}} {{keyExists \"a\"}}", [key("a", value)]), want);
    }
    let (_, questions) = evaluate("{{keyOrDefault \"a\" \"d\"}}{{keyExists \"b\"}}", data([]));
    assert_eq!(questions.missing.len(), 2);
}

#[test]
fn folders_are_no_keys_and_only_trees_go_deeper() {
    let pairs = [("", ""), ("a", "1"), ("b", ""), ("sub/", ""), ("sub/c", "2")];
    for (function, want) in
        [("ls", "a=1 b= "), ("safeLs", "a=1 b= "), ("tree", "a=1 b= sub/c=2 "), ("safeTree", "a=1 b= sub/c=2 ")]
    {
        let template = format!("{{{{range {function} \"app\"}}}}{{{{.Key}}}}={{{{.Value}}}} {{{{end}}}}");
        assert_eq!(render(&template, [keys("app", &pairs)]), want);
    }
    let template = "{{range ls \"app\"}}{{.Path}} {{.ModifyIndex}} {{.Flags}}{{end}}";
    assert_eq!(render(template, [keys("app", &[("a", "1")])]), "app/a 7 0");
}

#[test]
fn only_the_safe_ones_wait_for_a_first_key() {
    let folders = || [keys("app", &[("", ""), ("sub/", "")])];
    for function in ["ls", "tree"] {
        assert_eq!(render(&format!("{{{{len ({function} \"app\")}}}}"), folders()), "0");
    }
    for function in ["safeLs", "safeTree"] {
        let (_, questions) = evaluate(&format!("{{{{{function} \"app\"}}}}"), data(folders()));
        assert_eq!(questions.missing, [Query::keys("app").unwrap()].into());
    }
}

#[test]
fn a_node_that_is_not_there_is_nil() {
    let template = "{{with node \"n\"}}{{with .Node}}{{.Node}} {{.Datacenter}}{{else}}none{{end}}{{range .Services}} {{.Service}}/{{.ID}}\
                    :{{.Port}}{{.Tags}}{{end}}{{end}}";
    let answer = |found: Option<NodeServices>| [(Query::node("n").unwrap(), Answer::Node(found.map(Arc::new)))];
    assert_eq!(render(template, answer(None)), "none");
    let node = Node { name: "n".into(), datacenter: "dc1".into(), ..Node::default() };
    let service = NodeService { id: "w1".into(), service: "web".into(), port: 80, ..NodeService::default() };
    assert_eq!(render(template, answer(Some(NodeServices { node, services: vec![service] }))), "n dc1 web/w1:80[]");
}

#[test]
fn nodes_data_centres_and_files_are_told() {
    let node =
        Node { name: "n".into(), address: "1.2.3.4".into(), meta: [("k".to_owned(), "v".to_owned())].into(), ..Node::default() };
    let answers = [
        (Query::nodes("~_agent").unwrap(), Answer::Nodes([node].into())),
        (Query::Datacenters, Answer::Datacenters(["a".to_owned(), "b".to_owned()].into())),
        (Query::File("/x".into()), Answer::File(Arc::from(*b"text\n"))),
    ];
    let template = "{{range nodes \"~_agent\"}}{{.Node}} {{.Address}} {{.Meta.k}}{{end}} {{datacenters}} {{datacenters true}} {{file \"/x\"}}";
    assert_eq!(render(template, answers), "n 1.2.3.4 v [a b] [a b] text\n");
}

#[test]
fn what_is_asked_twice_is_one_question() {
    let (_, questions) = evaluate("{{key \"a\"}}{{keyExists \"/a\"}}{{keyOrDefault \"a\" \"\"}}", data([]));
    assert_eq!(questions.used, [Query::key("a").unwrap()].into());
}
