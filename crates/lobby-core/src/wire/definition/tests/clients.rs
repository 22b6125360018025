//! Bodies in the style of well-known clients, made up for this test.

use super::*;

#[test]
fn of_node_consul() {
    let made =
        registered(&json!({"Name": "cart", "ID": "cart-4711", "Tags": ["web", "blue"], "Address": "10.1.0.4", "Port": 4711,
        "Check": {"TTL": "10s", "DeregisterCriticalServiceAfter": "1m"}}));
    assert_eq!((made.instance.id.as_str(), made.instance.port), ("cart-4711", 4711));
    assert_eq!(made.checks[0].id.as_str(), "service:cart-4711");
    assert_eq!(made.checks[0].spec.ttl(), Some(10 * SECOND));
    assert_eq!(made.checks[0].spec.deregister_after(), Some(60 * SECOND));
    assert_eq!(made.checks[0].spec.initial(), Status::Critical);
}

#[test]
fn of_py_consul() {
    let body = json!({"name": "pay", "id": "pay:1", "tags": [], "port": 0, "enabletagoverride": false, "meta": {},
        "weights": {"passing": 5, "warning": 2},
        "check": {"http": "http://10.1.0.4/", "interval": "100ms", "deregistercriticalserviceafter": "1h"}});
    let raise = Context { short: ShortIntervals::Raise, peer_pid: None };
    let made = registration(&body, &raise).unwrap();
    assert_eq!((made.instance.weights.passing, made.instance.weights.warning), (5, 2));
    assert_eq!(made.checks[0].spec.interval(), Some(SECOND));
    let body = json!({"name": "up", "args": ["/bin/true"], "interval": 10, "notes": "n", "id": "up-1", "serviceid": "pay:1"});
    let made = check(&body, &raise).unwrap();
    assert_eq!((made.id.as_str(), made.instance.unwrap().as_str(), made.notes.as_str()), ("up-1", "pay:1", "n"));
    assert_eq!((made.spec.kind(), made.spec.interval()), (&Kind::Script { args: vec!["/bin/true".into()] }, Some(SECOND)));
}

#[test]
fn of_spring() {
    let made = registered(&json!({"ID": "orders-8081", "Name": "orders", "Tags": ["v=2"], "Address": "orders.example.com",
        "Meta": {"secure": "false", "gRPC_port": "9090"}, "Port": 8081, "EnableTagOverride": null, "Checks": null, "TaggedAddresses": null,
        "Check": {"Script": null, "DockerContainerID": null, "Shell": null, "Interval": "10s", "TTL": null,
            "HTTP": "http://orders.example.com:8081/actuator/health", "Method": null, "Header": {}, "TCP": null,
            "Timeout": null, "DeregisterCriticalServiceAfter": null, "TLSSkipVerify": null, "Status": null, "GRPC": null,
            "GRPCUseTLS": null}}));
    assert_eq!(made.instance.meta["gRPC_port"], "9090");
    let check = &made.checks[0];
    assert!(matches!(check.spec.kind(), Kind::Http(http) if http.url.ends_with("/actuator/health")));
    assert_eq!((check.spec.interval(), check.spec.deregister_after()), (Some(10 * SECOND), None));
}

#[test]
fn of_the_go_client() {
    let made =
        registered(&json!({"ID": "api", "Name": "api", "Port": 80, "Check": null, "Weights": {"Passing": 1, "Warning": 1},
        "Checks": [{"CheckID": "api-ttl", "TTL": "15s", "Status": "passing"},
            {"Args": ["/usr/lib/check"], "Interval": "10s", "Timeout": "5s", "OutputMaxSize": 4096},
            {"GRPC": "127.0.0.1:9/api", "GRPCUseTLS": true, "Interval": "5s"}]}));
    let ids: Vec<_> = made.checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, ["api-ttl", "service:api:2", "service:api:3"]);
    assert_eq!(made.checks[0].spec.initial(), Status::Passing);
}
