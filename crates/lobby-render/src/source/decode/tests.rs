//! Bodies as Consul and lobbyd write them, and what templates get of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An entry in the shape of Consul's documentation.
fn entry(node: &str, id: &str, checks: &Value) -> Value {
    json!({
        "Node": {
            "ID": "6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44", "Node": node, "Address": "10.9.0.7", "Datacenter": "dc1",
            "TaggedAddresses": {"lan": "10.9.0.7", "wan": "1.2.3.4"}, "Meta": {"rack": "r2"},
            "CreateIndex": 12, "ModifyIndex": 15
        },
        "Service": {
            "ID": id, "Service": "cart", "Tags": ["v2", "blue"], "Address": "", "Meta": {"ver": "3"}, "Port": 7070,
            "TaggedAddresses": {"lan": {"Address": "10.0.0.9", "Port": 81}}, "Weights": {"Passing": 10, "Warning": 1},
            "EnableTagOverride": false, "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}}, "Connect": {},
            "PeerName": "", "CreateIndex": 31, "ModifyIndex": 31
        },
        "Checks": checks
    })
}

fn checks(of: &[(&str, &str)]) -> Value {
    let check = |(id, status): &(&str, &str)| {
        let service = if id.contains(':') { "cart-1" } else { "" };
        json!({
            "Node": "edge-7", "CheckID": id, "Name": "a check", "Status": status, "Notes": "", "Output": "fine",
            "ServiceID": service, "ServiceName": "cart", "ServiceTags": [], "Type": "http", "Interval": "10s",
            "Definition": {}, "CreateIndex": 32, "ModifyIndex": 40
        })
    };
    of.iter().map(check).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn names(instances: &Instances) -> Vec<(&str, &str)> {
    instances.iter().map(|instance| (instance.node.as_str(), instance.id.as_str())).collect()
}

#[test]
fn an_entry_has_all_that_templates_name() {
    let checks = checks(&[("service:cart-1", "passing"), ("serfHealth", "passing")]);
    let all = health(&bytes(&json!([entry("edge-7", "cart-1", &checks)])), &[Wanted::Passing], false).unwrap();
    let [instance] = &*all else { panic!("{all:?}") };
    let check = |id: &str, service: &str| HealthCheck {
        node: "edge-7".into(),
        check_id: id.into(),
        name: "a check".into(),
        status: "passing".into(),
        output: "fine".into(),
        service_id: service.into(),
        service_name: "cart".into(),
        kind: "http".into(),
        ..HealthCheck::default()
    };
    let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let want = HealthService {
        node: "edge-7".into(),
        node_id: "6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44".into(),
        node_address: "10.9.0.7".into(),
        node_tagged_addresses: texts(&[("lan", "10.9.0.7"), ("wan", "1.2.3.4")]),
        node_meta: texts(&[("rack", "r2")]),
        service_meta: texts(&[("ver", "3")]),
        address: "10.9.0.7".into(),
        service_tagged_addresses: [("lan".to_owned(), ("10.0.0.9".to_owned(), 81))].into(),
        id: "cart-1".into(),
        name: "cart".into(),
        tags: vec!["blue".into(), "v2".into()],
        checks: vec![check("serfHealth", ""), check("service:cart-1", "cart-1")],
        status: "passing".into(),
        port: 7070,
        weight_passing: 10,
        weight_warning: 1,
        draining: false,
    };
    assert_eq!(**instance, want);
}

#[test]
fn the_status_is_the_worst_of_the_checks() {
    for (of, want) in [
        (&[][..], "passing"),
        (&[("serfHealth", "passing"), ("service:cart-1", "warning")], "warning"),
        (&[("serfHealth", "critical"), ("service:cart-1", "warning")], "critical"),
        (&[("serfHealth", "odd")], "critical"),
        (&[("_node_maintenance", "critical"), ("a", "critical")], "maintenance"),
        (&[("_service_maintenance:cart-1", "critical")], "maintenance"),
    ] {
        let body = bytes(&json!([entry("edge-7", "cart-1", &checks(of))]));
        assert_eq!(health(&body, &[Wanted::Any], false).unwrap()[0].status, want, "{of:?}");
        let wanted = [Wanted::Passing, Wanted::Warning, Wanted::Critical, Wanted::Maintenance];
        let taken = wanted.map(|wanted| health(&body, &[wanted], false).unwrap().len());
        assert_eq!(taken, ["passing", "warning", "critical", "maintenance"].map(|status| usize::from(status == want)));
    }
}

#[test]
fn what_lacks_nearly_everything_is_read() {
    let all = health(br#"[{"Service":{"ID":"a","Tags":null,"Weights":null},"Checks":null},{}]"#, &[Wanted::Any], false).unwrap();
    assert_eq!(names(&all), [("", ""), ("", "a")]);
    assert_eq!((all[1].weight_passing, all[1].weight_warning, all[1].draining), (1, 1, false));
    for body in ["", "{}", "[", "null", "[1]", r#"[{"Service":{"Port":-1}}]"#] {
        assert!(health(body.as_bytes(), &[Wanted::Any], false).is_err(), "{body}");
    }
}

#[test]
fn instances_are_by_node_and_id_unless_the_nearest_come_first() {
    let entries = [("b", "1"), ("a", "2"), ("a", "1")].map(|(node, id)| entry(node, id, &json!([])));
    let body = bytes(&json!(entries));
    assert_eq!(names(&health(&body, &[Wanted::Any], false).unwrap()), [("a", "1"), ("a", "2"), ("b", "1")]);
    assert_eq!(names(&health(&body, &[Wanted::Any], true).unwrap()), [("b", "1"), ("a", "2"), ("a", "1")]);
}

#[test]
fn services_nodes_and_data_centres_are_sorted() {
    let all = services(br#"{"web":["v2","v1"],"consul":[],"x":null}"#).unwrap();
    let all: Vec<_> = all.iter().map(|service| (service.name.as_str(), service.tags.join(","))).collect();
    assert_eq!(all, [("consul", String::new()), ("web", "v1,v2".into()), ("x", String::new())]);
    let body = br#"[{"Node":"b","Address":"1"},{"Node":"a","Address":"2","Meta":null},{"Node":"a","Address":"1"}]"#;
    let at = |near| nodes(body, near).unwrap().iter().map(|node| format!("{}{}", node.name, node.address)).collect::<Vec<_>>();
    assert_eq!((at(false), at(true)), (vec!["a1".into(), "a2".into(), "b1".into()], vec!["b1".into(), "a2".into(), "a1".into()]));
    assert_eq!(*datacenters(br#"["b","a"]"#).unwrap(), ["a", "b"]);
}

#[test]
fn a_node_comes_with_its_services_or_is_not_there() {
    let body = br#"{"Node":{"Node":"edge-7","Datacenter":"dc1"},"Services":{
        "w2":{"ID":"w2","Service":"web","Tags":["b","a"],"Port":1,"EnableTagOverride":true},
        "w1":{"ID":"w1","Service":"web"},"z":{"ID":"z","Service":"cart"}}}"#;
    let found = node_services(body).unwrap().unwrap();
    let services: Vec<_> = found.services.iter().map(|service| (service.service.as_str(), service.id.as_str())).collect();
    assert_eq!(services, [("cart", "z"), ("web", "w1"), ("web", "w2")]);
    assert_eq!((found.node.name.as_str(), found.services[2].tags.join("")), ("edge-7", "ab".into()));
    assert!(found.services[2].enable_tag_override);
    for nothing in ["null", "{}", r#"{"Node":null,"Services":{}}"#] {
        assert_eq!(node_services(nothing.as_bytes()), Ok(None));
    }
    assert_eq!(own_name(br#"{"Config":{"NodeName":"edge-7","Server":true},"Coord":null}"#).unwrap(), "edge-7");
    assert!(own_name(br#"{"Config":{}}"#).is_err());
}

#[test]
fn values_of_keys_are_base64_or_null() {
    assert_eq!(key(br#"[{"Key":"a","Value":"eHl6","Flags":18446744073709551615}]"#).unwrap().as_deref(), Some(&b"xyz"[..]));
    assert_eq!(key(br#"[{"Key":"a","Value":null}]"#).unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(key(b"[]"), Ok(None));
    assert!(key(br#"[{"Key":"a","Value":"*"}]"#).unwrap_err().contains("\"a\""));
    let pairs = keys(br#"[{"Key":"app/b/c","LockIndex":3,"ModifyIndex":9,"Session":"s"},{"Key":"app/a","Value":"eA=="}]"#, "app");
    let pairs = pairs.unwrap();
    let want = KeyPair { path: "app/a".into(), key: "a".into(), value: Arc::from(*b"x"), ..KeyPair::default() };
    assert_eq!(pairs[0], want);
    assert_eq!((pairs[1].key.as_str(), pairs[1].lock_index, pairs[1].modify_index), ("b/c", 3, 9));
}

#[test]
fn nodes_of_lobbyd_have_labels() {
    let body = br#"[{"id":null,"name":"old","state":"alive","addresses":[],"labels":[],"own":false,"age_ms":3},
        {"id":"6c1e","name":"edge-7","state":"suspect","addresses":["10.0.0.7","fe80::1"],"labels":["b","a:1"]}]"#;
    let nodes = labelled(body).unwrap();
    assert_eq!((nodes[0].name.as_str(), nodes[0].state.as_str(), nodes[1].id.as_str()), ("edge-7", "suspect", ""));
    assert_eq!((nodes[0].labels.join(" "), nodes[0].addresses.join(" ")), ("a:1 b".into(), "10.0.0.7 fe80::1".into()));
    assert_eq!(service_names(br#"[{"name":"b","instances":1},{"name":"a"}]"#).unwrap(), ["a", "b"]);
}

#[test]
fn whom_a_selector_takes_has_all_that_health_knows() {
    let entries = ["cart-1", "cart-2"].map(|id| entry("edge-7", id, &json!([])));
    let health = health(&bytes(&json!(entries)), &[Wanted::Any], false).unwrap();
    let node_id = "6c1e0f0a5d0e4a8e9b7d0a5c3f1e2d44";
    let body = json!([
        {"id": "new", "service": "cart", "node": "zoo", "node_id": null, "address": "10.0.0.1", "port": 1, "tags": ["b", "a"],
         "weights": {"passing": 0, "warning": 0}, "status": "critical", "maintenance": true, "drain": true, "meta": {"k": "v"},
         "checks": [{"id": "c", "of": "instance", "status": "critical"}, {"id": "n", "of": "node", "status": "passing"}]},
        {"id": "cart-2", "service": "cart", "node": "edge-7", "node_id": node_id, "drain": true},
    ]);
    let chosen = chosen(&bytes(&body), &health).unwrap();
    assert_eq!(names(&chosen), [("edge-7", "cart-2"), ("zoo", "new")]);
    assert_eq!((chosen[0].node_address.as_str(), chosen[0].draining, chosen[0].port), ("10.9.0.7", true, 7070));
    let new = &chosen[1];
    assert_eq!((new.status.as_str(), new.tags.join(""), new.draining), ("maintenance", "ab".into(), true));
    let of: Vec<_> = new.checks.iter().map(|check| (check.check_id.as_str(), check.service_id.as_str())).collect();
    assert_eq!(of, [("n", ""), ("c", "new")]);
}

#[test]
fn who_weighs_nothing_drains() {
    for (weights, want) in [(json!({"Passing": 0, "Warning": 0}), true), (json!({"Passing": 1, "Warning": 0}), false)] {
        let body = json!([{"Service": {"Weights": weights}}]);
        assert_eq!(health(&bytes(&body), &[Wanted::Any], false).unwrap()[0].draining, want);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..64), text in r#"[\[\]{}":,a-zN0-9]{0,64}"#) {
        for body in [body.as_slice(), text.as_bytes()] {
            let _ = (health(body, &[Wanted::Any], false), node_services(body), keys(body, "a"), chosen(body, &[]), labelled(body));
            let _ = (services(body), own_name(body), datacenters(body), service_names(body), nodes(body, true));
        }
    }

    /// However an agent orders its list, templates see one order.
    #[test]
    fn the_order_of_a_body_does_not_show(order in Just(vec!["a", "b", "c", "d", "e"]).prop_shuffle()) {
        let body: Vec<_> = order.iter().map(|id| entry("n", id, &json!([]))).collect();
        let instances = health(&bytes(&json!(body)), &[Wanted::Any], false).unwrap();
        prop_assert_eq!(names(&instances), [("n", "a"), ("n", "b"), ("n", "c"), ("n", "d"), ("n", "e")]);
    }

    #[test]
    fn a_path_is_its_prefix_and_what_is_below(prefix in "[a-c/]{0,4}", rest in "[a-c/]{0,4}") {
        let path = format!("{prefix}{rest}");
        prop_assert_eq!(below(&prefix, &path), rest.trim_start_matches('/'));
    }
}
