//! Each object written with everything and with nothing in it, key by key.

use std::time::Duration;

use expect_test::{Expect, expect};

use super::*;

fn check(value: &impl Serialize, want: &Expect) {
    want.assert_eq(&serde_json::to_string(value).unwrap());
}

fn full() -> Instance {
    let mut instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    (instance.port, instance.address, instance.kind) = (80, "10.0.0.9".into(), "connect-proxy".into());
    (instance.tags, instance.enable_tag_override) = (["b", "a"].map(Into::into).into(), true);
    instance.meta = std::sync::Arc::new([("ver".into(), "3".into())].into());
    instance.tagged_addresses = [("lan".into(), TaggedAddress { address: "10.0.0.9".into(), port: 81 })].into();
    (instance.proxy, instance.connect) = ("{\"Mode\":\"x\"}".into(), "{\"Native\":true}".into());
    instance
}

fn bare() -> Instance {
    Instance::new("foo".parse().unwrap(), "foo".parse().unwrap())
}

fn node() -> Node<'static> {
    Node {
        id: "6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44".into(),
        node: "edge-7",
        address: "10.9.0.7".into(),
        datacenter: "dc1",
        tagged_addresses: Pairs(vec![("lan", "10.9.0.7".into())]),
        meta: Pairs::default(),
        create_index: 12,
        modify_index: 15,
    }
}

#[test]
fn a_node() {
    check(
        &node(),
        &expect![[
            r#"{"ID":"6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44","Node":"edge-7","Address":"10.9.0.7","Datacenter":"dc1","TaggedAddresses":{"lan":"10.9.0.7"},"Meta":{},"CreateIndex":12,"ModifyIndex":15}"#
        ]],
    );
}

#[test]
fn a_service() {
    check(
        &Service::new(&bare(), 31, 32),
        &expect![[
            r#"{"ID":"foo","Service":"foo","Tags":[],"Address":"","Meta":{},"Port":0,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":31,"ModifyIndex":32}"#
        ]],
    );
    check(
        &Service::new(&full(), 31, 32),
        &expect![[
            r#"{"Kind":"connect-proxy","ID":"web-1","Service":"web","Tags":["b","a"],"Address":"10.0.0.9","TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":81}},"Meta":{"ver":"3"},"Port":80,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":true,"Proxy":{"Mode":"x"},"Connect":{"Native":true},"PeerName":"","CreateIndex":31,"ModifyIndex":32}"#
        ]],
    );
}

#[test]
fn a_service_of_the_agent() {
    check(
        &AgentService::new(&bare(), "dc1"),
        &expect![[
            r#"{"ID":"foo","Service":"foo","Tags":[],"Meta":{},"Port":0,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"}"#
        ]],
    );
    let full = full();
    let hashed = AgentService { content_hash: Some("ab".to_owned()), ..AgentService::new(&full, "dc1") };
    check(
        &hashed,
        &expect![[
            r#"{"Kind":"connect-proxy","ID":"web-1","Service":"web","Tags":["b","a"],"Meta":{"ver":"3"},"Port":80,"Address":"10.0.0.9","TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":81}},"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":true,"ContentHash":"ab","Proxy":{"Mode":"x"},"Connect":{"Native":true},"Datacenter":"dc1"}"#
        ]],
    );
}

#[test]
fn a_check() {
    let mut view = CheckView::new("service:web-1".parse().unwrap(), "Service 'web' check", Some("web-1".parse().unwrap()));
    (view.interval, view.timeout) = (Duration::from_secs(10), Duration::from_millis(1500));
    (view.kind, view.notes, view.output) = (lobby_core::check::view::CheckKind::Http, "n".into(), "200\n".into());
    let instance = full();
    check(
        &Check::new("edge-7", &view, Some(&instance), 32, 40),
        &expect![[
            r#"{"Node":"edge-7","CheckID":"service:web-1","Name":"Service 'web' check","Status":"critical","Notes":"n","Output":"200\n","ServiceID":"web-1","ServiceName":"web","ServiceTags":["b","a"],"Type":"http","Interval":"10s","Timeout":"1.5s","ExposedPort":0,"Definition":{},"CreateIndex":32,"ModifyIndex":40}"#
        ]],
    );
    check(
        &Check::of_node("edge-7", "serfHealth", "Serf Health Status", Status::Passing),
        &expect![[
            r#"{"Node":"edge-7","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":0,"ModifyIndex":0}"#
        ]],
    );
}

#[test]
fn instances_with_their_node() {
    let (node, instance) = (node(), bare());
    check(
        &HealthEntry { node: &node, service: Service::new(&instance, 31, 31), checks: Vec::new() },
        &expect![[
            r#"{"Node":{"ID":"6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44","Node":"edge-7","Address":"10.9.0.7","Datacenter":"dc1","TaggedAddresses":{"lan":"10.9.0.7"},"Meta":{},"CreateIndex":12,"ModifyIndex":15},"Service":{"ID":"foo","Service":"foo","Tags":[],"Address":"","Meta":{},"Port":0,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":31,"ModifyIndex":31},"Checks":[]}"#
        ]],
    );
    check(
        &CatalogService::new(&node, Service::new(&instance, 31, 31)),
        &expect![[
            r#"{"ID":"6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44","Node":"edge-7","Address":"10.9.0.7","Datacenter":"dc1","TaggedAddresses":{"lan":"10.9.0.7"},"NodeMeta":{},"ServiceKind":"","ServiceID":"foo","ServiceName":"foo","ServiceTags":[],"ServiceAddress":"","ServiceTaggedAddresses":{},"ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{},"ServicePort":0,"ServiceSocketPath":"","ServiceEnableTagOverride":false,"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},"ServiceConnect":{},"CreateIndex":31,"ModifyIndex":31}"#
        ]],
    );
}

#[test]
fn what_drains_weighs_nothing() {
    let mut instance = bare();
    instance.drain = true;
    let weights = Service::new(&instance, 1, 1).weights;
    assert_eq!((weights.passing, weights.warning), (0, 0));
}
