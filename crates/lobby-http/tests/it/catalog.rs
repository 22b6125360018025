//! Consul's read routes over a small fleet: what each lists, in which order, and what it refuses.

use expect_test::{Expect, expect, expect_file};
use lobby_core::{
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    instance::{Instance, TaggedAddress},
    local::LocalRecord,
    record::meta,
};
use serde_json::Value;

use crate::{
    fixture::{Fleet, Served, config},
    gossip::{member_at, serve, viewed},
};

/// An instance of this service on this port, with these tags.
pub(crate) fn instance(id: &str, service: &str, port: u16, tags: &[&str]) -> Instance {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Instance { port, tags, ..Instance::new(id.parse().unwrap(), service.parse().unwrap()) }
}

/// A check of an instance, or of the node, that says this.
pub(crate) fn check(id: &str, instance: Option<&str>, status: Status) -> CheckView {
    let mut view = CheckView::new(id.parse().unwrap(), format!("about {id}"), instance.map(|id| id.parse().unwrap()));
    view.status = status;
    view
}

fn at(local: &mut LocalRecord, addresses: &str) {
    local.set_meta(meta::ADDRESSES, addresses);
    local.set_meta(meta::DATACENTER, "dc1");
    local.set_meta(meta::VERSION, "0.1.0");
}

/// Three nodes and a daemon of old; the last of the three is failed.
pub(crate) fn fleet() -> Fleet {
    Fleet::cold(&[], false)
        .warmed()
        .located("dc1")
        .written(2, "edge-7", |local| {
            at(local, "10.9.0.7,2a03::7");
            let mut cart = instance("cart-1", "Cart", 7070, &["blue", "v2"]);
            cart.meta = std::sync::Arc::new([("ver".into(), "3".into())].into());
            cart.tagged_addresses = [("wan".into(), TaggedAddress { address: "192.0.2.7".into(), port: 81 })].into();
            local.set_instance(&cart).unwrap();
            let mut alive = check("service:cart-1", Some("cart-1"), Status::Passing);
            (alive.kind, alive.output) = (CheckKind::Http, "200 OK".into());
            (alive.interval, alive.timeout) = (std::time::Duration::from_secs(10), std::time::Duration::from_secs(2));
            local.set_check(&alive).unwrap();
            local.set_check(&check("disk", None, Status::Passing)).unwrap();
        })
        .written(3, "edge-10", |local| {
            at(local, "10.9.0.10");
            local.set_instance(&instance("cart-b", "cart", 7071, &["green"])).unwrap();
            local.set_instance(&Instance { drain: true, ..instance("cart-a", "cart", 7070, &["Blue"]) }).unwrap();
            local.set_check(&check("service:cart-b", Some("cart-b"), Status::Warning)).unwrap();
        })
        .written(4, "edge-9", |local| {
            at(local, "10.9.0.2");
            local.set_instance(&instance("cart-1", "cart", 7070, &[])).unwrap();
        })
        .bare("go", &["public_ip4:192.0.2.1", "service:web:port:80", "service:web:tag:old"])
        .failed(4)
}

fn served() -> Served {
    fleet().serve(config())
}

/// The values of a key of all objects of a list, in order.
async fn values(served: &Served, path: &str, pointer: &str) -> Vec<String> {
    let answer = served.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let list = answer.json();
    let text = |value: &Value| value.pointer(pointer).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
    list.as_array().unwrap().iter().map(text).collect()
}

async fn same(path: &str, want: Expect) {
    want.assert_eq(served().get(path).await.text());
}

#[tokio::test]
async fn every_route_in_full() {
    let served = served();
    let mut all = String::new();
    for path in [
        "/v1/catalog/datacenters",
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/catalog/service/cart?filter=ServiceID==`cart-1`",
        "/v1/catalog/connect/cart",
        "/v1/catalog/node/edge-7",
        "/v1/catalog/node-services/edge-7",
        "/v1/catalog/gateway-services/gw",
        "/v1/health/service/cart?filter=Node.Node==`edge-7`",
        "/v1/health/service/consul",
        "/v1/health/connect/cart",
        "/v1/health/ingress/cart",
        "/v1/health/checks/cart",
        "/v1/health/node/edge-7",
        "/v1/health/state/critical",
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"), "{path}");
        all += &format!("{path}\n{}\n\n", answer.text());
    }
    expect_file!["catalog.txt"].assert_eq(&all);
}

#[tokio::test]
async fn instances_are_in_the_same_order_everywhere() {
    let served = served();
    let want = ["edge-10/cart-a", "edge-10/cart-b", "edge-7/cart-1", "edge-9/cart-1"];
    let join = |nodes: Vec<String>, ids: Vec<String>| -> Vec<_> {
        nodes.iter().zip(ids).map(|(node, id)| format!("{node}/{id}")).collect()
    };
    for name in ["cart", "CART", "c%61rt"] {
        let path = format!("/v1/catalog/service/{name}");
        assert_eq!(join(values(&served, &path, "/Node").await, values(&served, &path, "/ServiceID").await), want, "{name}");
        let path = format!("/v1/health/service/{name}");
        assert_eq!(join(values(&served, &path, "/Node/Node").await, values(&served, &path, "/Service/ID").await), want, "{name}");
    }
    assert_eq!(values(&served, "/v1/catalog/nodes", "/Node").await, ["edge-10", "edge-7", "edge-9", "go"]);
    let ids = ["disk", "serfHealth", "service:cart-1"];
    assert_eq!(values(&served, "/v1/health/node/EDGE-7", "/CheckID").await, ids);
    let entry = served.get("/v1/health/service/cart?filter=Node.Node==`edge-7`").await.json();
    let checks: Vec<_> = entry[0]["Checks"].as_array().unwrap().iter().map(|check| check["CheckID"].clone()).collect();
    assert_eq!(checks, ids);
}

#[tokio::test]
async fn what_parameters_leave_out() {
    let served = served();
    for (path, want) in [
        // Of one node a check warns, the other is failed; what drains still passes.
        ("service/cart?passing", vec!["cart-a", "cart-1"]),
        ("service/cart?passing=false", vec!["cart-a", "cart-b", "cart-1", "cart-1"]),
        ("service/cart?tag=blue", vec!["cart-a", "cart-1"]),
        ("service/cart?tag=BLUE&tag=V2", vec!["cart-1"]),
        ("service/cart?tag=blue&tag=green", vec![]),
        ("service/cart?node-meta=lobby-version:0.1.0&tag=green", vec!["cart-b"]),
        ("service/cart?node-meta=lobby-version:0.1.0&node-meta=rack:2", vec![]),
        ("service/cart?filter=Checks.Status==warning", vec!["cart-b"]),
        ("service/cart?filter=Service.Weights.Passing==0", vec!["cart-a"]),
        ("service/cart?filter=Service.Meta.ver==3%20and%20Service.Port==7070", vec!["cart-1"]),
        ("service/cart?peer=elsewhere", vec![]),
        ("service/cart?merge-central-config&ns=default&partition=", vec!["cart-a", "cart-b", "cart-1", "cart-1"]),
        ("connect/cart?passing", vec![]),
        ("service/nothing", vec![]),
        ("service//nothing/../x", vec![]),
    ] {
        assert_eq!(values(&served, &format!("/v1/health/{path}"), "/Service/ID").await, want, "{path}");
    }
    for (path, pointer, want) in [
        ("catalog/service/cart?tag=green", "/ServiceID", vec!["cart-b"]),
        ("catalog/service/cart?filter=ServicePort!=7070", "/ServiceID", vec!["cart-b"]),
        ("catalog/nodes?filter=Node%20matches%20%22^edge-1%22", "/Node", vec!["edge-10"]),
        ("catalog/nodes?node-meta=lobby-version:0.1.0", "/Node", vec!["edge-10", "edge-7", "edge-9"]),
        ("health/state/any?filter=CheckID==serfHealth", "/Node", vec!["edge-10", "edge-7", "edge-9", "go"]),
        ("health/state/passing", "/CheckID", vec!["serfHealth", "disk", "serfHealth", "service:cart-1", "serfHealth"]),
        ("health/state/warning", "/CheckID", vec!["service:cart-b"]),
        ("health/state/unknown", "/CheckID", vec![]),
        ("health/state/any?node-meta=rack:2", "/CheckID", vec![]),
        ("health/checks/cart?filter=Status!=passing", "/CheckID", vec!["service:cart-b"]),
        ("health/node/nobody", "/CheckID", vec![]),
        ("health/node/edge-7?filter=ServiceID==`cart-1`", "/CheckID", vec!["service:cart-1"]),
    ] {
        assert_eq!(values(&served, &format!("/v1/{path}"), pointer).await, want, "{path}");
    }
}

#[tokio::test]
async fn services_of_the_instances_that_are_taken() {
    same("/v1/catalog/services", expect![[r#"{"Cart":["blue","v2"],"cart":["Blue","green"],"consul":[],"web":["old"]}"#]]).await;
    same("/v1/catalog/services?filter=ServiceName%20matches%20%22^we%22", expect![[r#"{"web":["old"]}"#]]).await;
    same("/v1/catalog/services?filter=green%20in%20ServiceTags", expect![[r#"{"cart":["green"]}"#]]).await;
    same("/v1/catalog/services?node-meta=rack:2", expect!["{}"]).await;
    same("/v1/catalog/node/nobody", expect!["null"]).await;
    same("/v1/catalog/node-services/nobody", expect![[r#"{"Node":null,"Services":[]}"#]]).await;
}

#[tokio::test]
async fn services_of_one_node() {
    let served = served();
    let node = served.get("/v1/catalog/node/edge-10?filter=Service==cart%20and%20Port==7071").await.json();
    assert_eq!(node["Services"].as_object().unwrap().keys().collect::<Vec<_>>(), ["cart-b"]);
    let none = served.get("/v1/catalog/node/edge-10?filter=Port==1").await.json();
    assert_eq!((&none["Services"], &none["Node"]["Node"]), (&serde_json::json!({}), &serde_json::json!("edge-10")));
    // By its id, in Consul's form and in ours.
    for id in ["03030303-0303-0303-0303-030303030303", "03030303030303030303030303030303"] {
        assert_eq!(served.get(&format!("/v1/catalog/node/{id}")).await.json()["Node"]["Node"], "edge-10");
        assert_eq!(values(&served, &format!("/v1/health/node/{id}"), "/CheckID").await, ["serfHealth", "service:cart-b"]);
    }
}

#[tokio::test]
async fn the_lowest_address_alive_carries_the_service_consul() {
    let served = served();
    assert_eq!(values(&served, "/v1/catalog/service/consul", "/Node").await, ["edge-7"]);
    let fleet = fleet().failed(2);
    let other = fleet.serve(config());
    assert_eq!(values(&other, "/v1/catalog/service/Consul", "/Node").await, ["edge-10"]);
    assert_eq!(values(&other, "/v1/catalog/service/consul", "/ServicePort").await, ["8300"]);
    let node = other.get("/v1/catalog/node/edge-10").await.json();
    assert_eq!(node["Services"].as_object().unwrap().keys().collect::<Vec<_>>(), ["cart-a", "cart-b", "consul"]);
    // Whoever registers it counts instead, on its own node.
    let registered = |local: &mut LocalRecord| local.set_instance(&instance("consul", "consul", 1, &["own"])).unwrap();
    let other = self::fleet().written(2, "edge-7", registered).serve(config());
    assert_eq!(values(&other, "/v1/catalog/service/consul", "/ServicePort").await, ["1"]);
    // Nobody to carry it.
    let empty = Fleet::cold(&[], false).warmed().serve(config());
    assert_eq!(empty.get("/v1/catalog/services").await.text(), "{}");
    assert_eq!(empty.get("/v1/catalog/service/consul").await.text(), "[]");
}

#[tokio::test]
async fn the_mesh_reaches_native_instances_and_proxies() {
    let fleet = fleet().written(5, "mesh", |local| {
        let proxy = "{\"DestinationServiceName\":\"Cart\"}".into();
        let proxy = Instance { kind: "connect-proxy".into(), proxy, ..instance("cart-sidecar", "cart-sidecar", 21000, &[]) };
        local.set_instance(&proxy).unwrap();
        let native = Instance { connect: "{\"Native\":true}".into(), ..instance("native", "cart", 1, &["x"]) };
        local.set_instance(&native).unwrap();
    });
    let served = fleet.serve(config());
    for (path, pointer) in [("health/connect/CART", "/Service/ID"), ("catalog/connect/cart", "/ServiceID")] {
        assert_eq!(values(&served, &format!("/v1/{path}"), pointer).await, ["cart-sidecar", "native"], "{path}");
        assert_eq!(values(&served, &format!("/v1/{path}?tag=x"), pointer).await, ["native"], "{path}");
    }
    assert_eq!(values(&served, "/v1/catalog/service/cart?filter=ServiceConnect.Native==true", "/ServiceID").await, ["native"]);
    assert_eq!(served.get("/v1/health/connect/cart-sidecar").await.text(), "[]");
}

#[tokio::test]
async fn what_drains_is_listed_and_weighs_nothing() {
    let fleet = fleet().written(2, "edge-7", |local| local.set_meta(meta::DRAIN, "true"));
    let served = fleet.serve(config());
    let weights = values(&served, "/v1/health/service/cart", "/Service/Weights/Passing").await;
    assert_eq!(weights, ["0", "1", "0", "1"], "one drains by itself, one with its node");
    let weights = values(&served, "/v1/catalog/service/cart", "/ServiceWeights/Warning").await;
    assert_eq!(weights, ["0", "1", "0", "1"]);
}

#[tokio::test]
async fn who_left_is_gone_and_a_name_may_be_taken_twice() {
    let fleet = fleet().written(2, "edge-7", LocalRecord::leave).written(5, "edge-10", |local| at(local, "10.9.0.5"));
    let served = fleet.serve(config());
    assert_eq!(values(&served, "/v1/catalog/nodes", "/Node").await, ["edge-10", "edge-10", "edge-9", "go"]);
    assert_eq!(values(&served, "/v1/health/node/edge-10", "/CheckID").await, ["serfHealth", "serfHealth", "service:cart-b"]);
    assert_eq!(values(&served, "/v1/health/state/critical", "/Node").await, ["edge-9"]);
    assert_eq!(values(&served, "/v1/health/service/cart", "/Node/Node").await, ["edge-10", "edge-10", "edge-9"]);
}

#[tokio::test]
async fn ids_with_slashes_blanks_and_signs() {
    let odd = "/a//b c#%../d";
    let fleet = Fleet::new(&[]).written(2, "n", |local| local.set_instance(&instance(odd, odd, 1, &[])).unwrap());
    let served = fleet.serve(config());
    for path in ["/v1/catalog/service//a//b%20c%23%25../d", "/v1/catalog/service/%2Fa%2f%2Fb%20c%23%25%2e./d"] {
        assert_eq!(values(&served, path, "/ServiceID").await, [odd], "{path}");
    }
    assert_eq!(served.get("/v1/catalog/service/a").await.text(), "[]");
}

#[tokio::test]
async fn what_is_refused() {
    let empty = Fleet::cold(&[], false).warmed().located("dc1").serve(config());
    for (path, status, word) in [
        ("/v1/health/service", 400, "missing service name"),
        ("/v1/health/service/", 400, "missing service name"),
        ("/v1/health/checks/", 400, "missing service name"),
        ("/v1/health/node/", 400, "missing node name"),
        ("/v1/health/state/", 400, "missing state"),
        ("/v1/catalog/service/", 400, "missing service name"),
        ("/v1/catalog/node/", 400, "missing node name"),
        ("/v1/catalog/gateway-services/", 400, "missing gateway name"),
        ("/v1/health/state/bad", 400, "state \"bad\": expected any, passing, warning, critical or unknown"),
        ("/v1/health/service/a%0ab", 400, "control character"),
        ("/v1/health/service/a%00", 400, "control character"),
        ("/v1/health/service/a%ff", 400, "not UTF-8"),
        ("/v1/health/service/a?passing=maybe", 400, "passing \"maybe\""),
        ("/v1/health/service/a?filter=not%20a%20valid%20expression((", 400, "filter: "),
        ("/v1/health/service/a?filter=ServiceName==a", 400, "selector"),
        ("/v1/catalog/services?filter=Service.ID==a", 400, "selector"),
        ("/v1/catalog/nodes?filter=Node%20is%20empty", 400, "filter: "),
        ("/v1/catalog/node/a?filter=Nope==1", 400, "selector"),
        ("/v1/health/state/any?filter=Nope==1", 400, "selector"),
        ("/v1/catalog/nodes?stale&consistent", 400, "consistent \"stale\""),
        ("/v1/health/service/a?cached&consistent", 400, "consistent \"cached\""),
        ("/v1/catalog/nodes?max_stale=soon", 400, "max_stale"),
        ("/v1/catalog/nodes?index=x", 400, "index \"x\""),
        ("/v1/catalog/nodes?index=1&wait=x", 400, "wait \"x\""),
        ("/v1/catalog/nodes?ns=other", 400, "ns \"other\""),
        ("/v1/health/service/a?partition=other", 400, "partition \"other\""),
        ("/v1/catalog/services?dc=dc2", 500, "No path to datacenter \"dc2\""),
        ("/v1/health/service/a?dc=dc2", 500, "No path to datacenter \"dc2\""),
        ("/v1/catalog/datacenters?dc=dc2", 500, "No path to datacenter"),
        ("/v1/health/elsewhere/a", 404, "no route"),
    ] {
        let answer = empty.get(path).await;
        assert!(answer.status == status && answer.text().contains(word), "{path}: {} {}", answer.status, answer.text());
        assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8", "{path}");
        // The answer of no route at all is ours, with a line end.
        assert!(status == 404 || !answer.text().ends_with('\n'), "{path}");
    }
    let answer = empty.put("/v1/health/service/a", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET,HEAD"));
    let answer = empty.ask("GET", "/v1/catalog/nodes", &[("x-consul-namespace", "other")], "").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let answer = empty.ask("GET", "/v1/catalog/nodes", &[("cache-control", "max-age=x")], "").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(empty.get("/v1/catalog/nodes?dc=DC1").await.text(), "[]");
}

#[tokio::test]
async fn headers_tell_how_fresh_it_is() {
    let served = served();
    for (query, consistency, cache) in [
        ("", "leader", ("", "")),
        ("?stale=", "stale", ("", "")),
        ("?consistent=1", "consistent", ("", "")),
        ("?cached", "leader", ("HIT", "0")),
        ("?max_stale=5s&cached", "stale", ("HIT", "0")),
    ] {
        let answer = served.get(&format!("/v1/health/service/cart{query}")).await;
        assert_eq!(answer.header("x-consul-effective-consistency"), consistency, "{query}");
        assert_eq!((answer.header("x-cache"), answer.header("age")), cache, "{query}");
        assert_eq!(answer.header("x-consul-default-acl-policy"), "allow");
        assert_eq!((answer.header("x-consul-knownleader"), answer.header("x-consul-lastcontact")), ("true", "0"));
        assert!(answer.header("x-consul-index").parse::<u64>().unwrap() > 0);
    }
    let datacenters = served.get("/v1/catalog/datacenters?index=1").await;
    assert_eq!((datacenters.header("x-consul-index"), datacenters.text()), ("", "[\"dc1\"]"));
}

#[tokio::test]
async fn long_lists_are_compressed_for_those_who_ask() {
    let served = served();
    let path = "/v1/health/service/cart";
    let plain = served.get(path).await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
    let packed = served.ask("GET", path, &[("accept-encoding", "gzip")], "").await;
    assert!(packed.bytes.len() < plain.bytes.len() / 2 && packed.unpacked() == plain.bytes);
    assert_eq!(packed.header("x-consul-index"), plain.header("x-consul-index"));
}

#[tokio::test]
async fn pretty_has_four_blanks_and_a_line_end() {
    same(
        "/v1/catalog/datacenters?pretty",
        expect![[r#"
        [
            "dc1"
        ]
    "#]],
    )
    .await;
    assert_eq!(served().get("/v1/health/service/nothing?pretty=").await.text(), "[]\n");
}

#[tokio::test]
async fn the_near_come_first_and_the_unknown_last() {
    let members = || vec![member_at(1, 0.0), member_at(2, 50.0), member_at(3, 80.0), member_at(4, 10.0)];
    let served = serve(fleet(), &viewed(members()));
    for (near, want) in [
        ("_agent", ["edge-9", "edge-7", "edge-10", "go"]),
        ("edge-10", ["edge-10", "edge-7", "edge-9", "go"]),
        ("nobody", ["edge-10", "edge-7", "edge-9", "go"]),
        ("", ["edge-10", "edge-7", "edge-9", "go"]),
    ] {
        assert_eq!(values(&served, &format!("/v1/catalog/nodes?near={near}"), "/Node").await, want, "{near}");
    }
    let cart = values(&served, "/v1/health/service/cart?near=_agent", "/Service/ID").await;
    assert_eq!(cart, ["cart-1", "cart-1", "cart-a", "cart-b"]);
    let checks = values(&served, "/v1/health/state/any?near=_agent&filter=CheckID==serfHealth", "/Node").await;
    assert_eq!(checks, ["edge-9", "edge-7", "edge-10", "go"]);
    // Without gossip nobody is near.
    assert_eq!(values(&self::served(), "/v1/catalog/nodes?near=_agent", "/Node").await[0], "edge-10");
}
