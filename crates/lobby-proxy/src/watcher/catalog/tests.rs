//! Who of a catalog is well, lost or gone, and what a backend has of it.

use lobby_render::answer::HealthCheck;

use super::*;

fn check(id: &str, status: &str) -> HealthCheck {
    HealthCheck { check_id: id.into(), status: status.into(), ..HealthCheck::default() }
}

fn instance(status: &str, checks: &[(&str, &str)]) -> HealthService {
    HealthService {
        node: "n".into(),
        node_id: "0a-1b".into(),
        address: "10.0.0.1".into(),
        port: 80,
        status: status.into(),
        checks: checks.iter().map(|(id, status)| check(id, status)).collect(),
        weight_passing: 3,
        weight_warning: 1,
        ..HealthService::default()
    }
}

fn found(instance: HealthService, watch: &LobbyWatch) -> (usize, usize) {
    let sets = sets(&[Arc::new(instance)], None, watch);
    (sets.well.len(), sets.lost.len())
}

#[test]
fn well_lost_and_gone_are_told_apart() {
    let (strict, mild) = (LobbyWatch::default(), LobbyWatch { warning: true, ..LobbyWatch::default() });
    for (status, checks, want, want_mild) in [
        ("passing", &[][..], (1, 0), (1, 0)),
        ("passing", &[("serfHealth", "passing"), ("a", "passing")], (1, 0), (1, 0)),
        ("warning", &[("serfHealth", "passing"), ("a", "warning")], (0, 0), (1, 0)),
        ("critical", &[("serfHealth", "passing"), ("a", "critical")], (0, 0), (0, 0)),
        ("critical", &[("serfHealth", "critical"), ("a", "passing")], (0, 1), (0, 1)),
        ("critical", &[("serfHealth", "critical")], (0, 1), (0, 1)),
        ("critical", &[("serfHealth", "critical"), ("a", "warning")], (0, 0), (0, 1)),
        ("critical", &[("serfHealth", "critical"), ("a", "critical")], (0, 0), (0, 0)),
        ("maintenance", &[("serfHealth", "critical"), ("_node_maintenance", "critical")], (0, 0), (0, 0)),
        ("maintenance", &[("_node_maintenance", "critical")], (0, 0), (0, 0)),
        ("critical", &[], (0, 0), (0, 0)),
    ] {
        assert_eq!(found(instance(status, checks), &strict), want, "{status} {checks:?}");
        assert_eq!(found(instance(status, checks), &mild), want_mild, "{status} {checks:?}, warnings count");
    }
}

#[test]
fn who_has_no_port_no_address_or_not_the_tag_is_passed_over() {
    let passing = || instance("passing", &[]);
    let any = LobbyWatch::default();
    assert_eq!(found(HealthService { port: 0, ..passing() }, &any), (0, 0));
    assert_eq!(found(HealthService { address: String::new(), ..passing() }, &any), (0, 0));
    assert_eq!(found(HealthService { address: String::new(), node_address: "h".into(), ..passing() }, &any), (1, 0));
    let tagged = LobbyWatch { tag: Some("v2".into()), ..LobbyWatch::default() };
    assert_eq!(found(passing(), &tagged), (0, 0));
    assert_eq!(found(HealthService { tags: vec!["v1".into(), "v2".into()], ..passing() }, &tagged), (1, 0));
}

#[test]
fn a_backend_has_weight_labels_and_words_of_its_instance() {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
    let node = LabelledNode {
        id: "0a1b".into(),
        name: "n".into(),
        state: "alive".into(),
        addresses: Vec::new(),
        labels: ["deploy:web:primary:50002", "url:http://x:1", "plain", "a:label"].map(str::to_owned).into(),
    };
    let of = HealthService {
        node_meta: map(&[("a", "node"), ("only", "node")]),
        service_meta: map(&[("b", "1"), ("haproxy_server_options", "backup"), ("leader_id", "7")]),
        tags: vec!["v2".into()],
        draining: true,
        ..instance("warning", &[])
    };
    let made = backend(&of, Some(&labels(&[node]))).unwrap();
    let want = [
        ("a", "label"),
        ("b", "1"),
        ("deploy:web:primary", "50002"),
        ("haproxy_server_options", "backup"),
        ("leader_id", "7"),
        ("only", "node"),
        ("plain", ""),
        ("tag:v2", "true"),
        ("url", "http://x:1"),
    ];
    assert_eq!(made.labels, map(&want));
    assert_eq!((made.name.as_str(), made.host.as_str(), made.port), ("n", "10.0.0.1", 80));
    assert_eq!((made.weight, made.id, made.is_draining), (Some(1), Some(7), true));
    assert_eq!(made.haproxy_server_options, "backup");
    assert_eq!(backend(&instance("passing", &[]), None).unwrap().weight, Some(3));
}

#[test]
fn who_has_options_that_cannot_be_taken_is_left_out_and_warned_of_once() {
    let with = |options: &str| HealthService {
        service_meta: [("haproxy_server_options".into(), options.into())].into(),
        ..instance("passing", &[])
    };
    let longest = with(&"x".repeat(OPTIONS_BYTES));
    assert_eq!(found(longest.clone(), &LobbyWatch::default()), (1, 0));
    for bad in ["a\nserver evil 1.2.3.4:80".to_owned(), "x".repeat(OPTIONS_BYTES + 1)] {
        assert_eq!(found(with(&bad), &LobbyWatch::default()), (0, 0));
        let (good, bad) = (Arc::new(longest.clone()), Arc::new(with(&bad)));
        let mut warned = BTreeSet::new();
        let n_new = [&good, &bad, &bad, &good, &bad].map(|instance| warn_of(std::slice::from_ref(instance), &mut warned));
        assert_eq!(n_new, [0, 1, 0, 0, 1]);
    }
}

#[test]
fn nothing_is_known_until_the_labels_are() {
    let watch = LobbyWatch::default();
    let (mut instances, mut nodes) = (State::default(), State::default());
    instances.hear(Told::Instances([Arc::new(instance("passing", &[]))].into()));
    assert_eq!(heard(&instances, Some(&nodes), &watch), Heard::default());
    nodes.hear(Told::trouble("away"));
    let now = heard(&instances, Some(&nodes), &watch);
    assert_eq!((now.sets, now.trouble.as_deref()), (None, Some("away")));
    nodes.hear(Told::Labels(Arc::default()));
    assert_eq!(heard(&instances, Some(&nodes), &watch).sets.unwrap().well.len(), 1);
    instances.hear(Told::trouble("gone"));
    let now = heard(&instances, Some(&nodes), &watch);
    assert_eq!((now.sets.unwrap().well.len(), now.trouble.as_deref(), now.failures), (1, Some("gone"), 1));
}
