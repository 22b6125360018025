//! Tables of the decoder: what a body makes, and the words with which another is refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::check::{
    Status,
    kind::{Http, Kind, Tls},
};

mod catalog;
mod clients;
mod refusals;

const CONTEXT: Context = Context { short: ShortIntervals::Allow, peer_pid: Some(77) };
const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn registered(body: &Value) -> Registration {
    registration(body, &CONTEXT).unwrap()
}

/// The only check of a service `web` with this check.
#[track_caller]
fn checked(body: Value) -> NewCheck {
    let mut checks = registered(&json!({"Name": "web", "Check": body})).checks;
    assert_eq!(checks.len(), 1);
    checks.remove(0)
}

#[track_caller]
fn kind(body: Value) -> Kind {
    checked(body).spec.kind().clone()
}

#[track_caller]
fn ids(body: Value) -> Vec<String> {
    registered(&body).checks.iter().map(|check| check.id.to_string()).collect()
}

#[test]
fn a_name_is_enough() {
    let made = registered(&json!({"Name": "web"}));
    let web: crate::instance::Id = "web".parse().unwrap();
    assert_eq!(made, Registration { instance: Instance::new(web.clone(), web), checks: vec![], replace_checks: false });
}

#[test]
fn every_field_of_a_service() {
    let made = registered(&json!({
        "id": "web-1", "name": "web", "tags": ["b", "a"], "address": "10.0.0.7", "port": 8080,
        "meta": {"Rack_No": "r2"}, "enable_tag_override": true, "kind": "mesh-gateway", "weights": {"passing": 10},
        "tagged_addresses": {"lan_IPv4": {"address": "10.0.0.8", "port": 81}, "wan": {"Address": "b"}, "none": null},
        "proxy": {"destination_service_name": "db", "destination_service_id": "db1", "local_service_address": "a",
            "local_service_port": 9, "config": {"bind_address": {"local_service_port": 1}}, "mode": null, "own_key": 1,
            "upstreams": [{"destination_name": "x", "local_bind_port": 1}]},
        "connect": {"native": true}, "token": "t", "socket_path": null, "Something": {"New": []}
    }));
    let instance = made.instance;
    assert_eq!((instance.id.as_str(), instance.service.as_str()), ("web-1", "web"));
    assert_eq!(*instance.tags, ["b", "a"]);
    assert_eq!((instance.address.as_str(), instance.port), ("10.0.0.7", 8080));
    assert_eq!(*instance.meta, [("Rack_No".to_owned(), "r2".to_owned())].into());
    assert!(instance.enable_tag_override && !instance.drain);
    assert_eq!((instance.weights.passing, instance.weights.warning), (10, 1));
    assert_eq!(instance.kind, "mesh-gateway");
    assert_eq!(instance.tagged_addresses.keys().collect::<Vec<_>>(), ["lan_IPv4", "wan"]);
    assert_eq!((&*instance.tagged_addresses["lan_IPv4"].address, instance.tagged_addresses["lan_IPv4"].port), ("10.0.0.8", 81));
    let proxy: Value = serde_json::from_str(&instance.proxy).unwrap();
    assert_eq!(
        proxy,
        json!({"DestinationServiceName": "db", "DestinationServiceID": "db1", "LocalServiceAddress": "a",
            "LocalServicePort": 9, "Config": {"bind_address": {"local_service_port": 1}}, "own_key": 1,
            "Upstreams": [{"DestinationName": "x", "LocalBindPort": 1}]})
    );
    assert_eq!(instance.connect, r#"{"Native":true}"#);
}

#[test]
fn null_is_absent_and_of_equal_keys_the_last_counts() {
    let all_null = json!({"Name": "web", "ID": null, "Tags": null, "Port": null, "Meta": null, "Weights": null, "Check": null,
        "Checks": null, "Address": null, "TaggedAddresses": null, "Proxy": null, "Connect": null, "EnableTagOverride": null});
    assert_eq!(registered(&all_null), registered(&json!({"Name": "web"})));
    assert_eq!(registered(&parse(br#"{"Name":"a","Name":"b"}"#).unwrap()).instance.id.as_str(), "b");
    assert_eq!(registered(&json!({"NAME": null, "name": "a"})).instance.id.as_str(), "a");
    assert_eq!(registered(&json!({"Name": "a", "Proxy": {}, "Connect": {}})), registered(&json!({"Name": "a"})));
}

#[test]
fn ids_and_names_of_checks() {
    let ttl = || json!({"TTL": "10s"});
    assert_eq!(ids(json!({"Name": "web", "ID": "w1", "Check": ttl()})), ["service:w1"]);
    assert_eq!(ids(json!({"Name": "web", "Checks": [ttl()]})), ["service:web"]);
    assert_eq!(ids(json!({"Name": "web", "Check": {}, "Checks": [ttl()]})), ["service:web"]);
    assert_eq!(ids(json!({"Name": "web", "Check": ttl(), "Checks": [ttl()]})), ["service:web:1", "service:web:2"]);
    let own = json!({"TTL": "1s", "check_id": "mine"});
    assert_eq!(ids(json!({"Name": "web", "Check": ttl(), "Checks": [own, ttl()]})), ["service:web:1", "mine", "service:web:3"]);
    assert_eq!(ids(json!({"Name": "web", "Check": own})), ["mine"]);
    assert_eq!(ids(json!({"Name": "web", "Check": {"TTL": "1s", "ID": "mine", "CheckID": ""}})), ["mine"]);
    assert_eq!(ids(json!({"Name": "web", "Check": {"TTL": "1s", "ID": "no", "CheckID": "mine"}})), ["mine"]);
    // What came first is replaced.
    let made = registered(&json!({"Name": "web", "Checks": [own, {"TTL": "2s", "check_id": "mine"}]}));
    assert_eq!(made.checks.iter().map(|check| check.spec.ttl()).collect::<Vec<_>>(), [Some(2 * SECOND)]);

    let check = checked(json!({"TTL": "1s", "Notes": "a\nb", "ServiceID": "another"}));
    assert_eq!((check.name.as_str(), check.notes.as_str()), ("Service 'web' check", "a\nb"));
    assert_eq!(check.instance.unwrap().as_str(), "web");
    assert_eq!(checked(json!({"TTL": "1s", "Name": "my own"})).name, "my own");
}

#[test]
fn a_check_alone() {
    let made = |body: Value| check(&body, &CONTEXT).unwrap();
    let plain = made(json!({"Name": "disk", "TTL": "10s"}));
    assert_eq!((plain.id.as_str(), plain.name.as_str(), plain.instance), ("disk", "disk", None));
    let full = made(json!({"name": "disk", "id": "d1", "service_id": "web", "ttl": "10s", "status": "passing"}));
    assert_eq!((full.id.as_str(), full.instance.unwrap().as_str()), ("d1", "web"));
    assert_eq!(full.spec.initial(), Status::Passing);
    assert_eq!(made(json!({"Name": "a", "TTL": "1s", "ServiceID": ""})).instance, None);
}

#[test]
fn every_kind_of_check() {
    let tls = Tls { server_name: Some("a.b".into()), skip_verify: true };
    let plain = Tls::default();
    assert_eq!(kind(json!({"TTL": 5})), Kind::Ttl { ttl: Duration::from_nanos(5) });
    let http = |http: &str| Http { url: http.into(), ..Http::default() };
    assert_eq!(kind(json!({"http": "http://a", "interval": "1s"})), Kind::Http(http("http://a")));
    let full = json!({"HTTP": "https://a", "Interval": "1s", "Method": "POST", "Body": "x", "disable_redirects": true,
        "Header": {"x_A": ["1", "2"], "B": null}, "tls_server_name": "a.b", "tls_skip_verify": true});
    let headers = vec![("x_A".to_owned(), "1".to_owned()), ("x_A".to_owned(), "2".to_owned())];
    let want =
        Http { method: "POST".into(), headers, body: "x".into(), disable_redirects: true, tls: tls.clone(), ..http("https://a") };
    assert_eq!(kind(full), Kind::Http(want));
    let (address, interval) = ("a:1".to_owned(), "1s");
    let tcp = |tls| Kind::Tcp { address: "a:1".into(), tls };
    assert_eq!(kind(json!({"TCP": "a:1", "Interval": interval, "TLSSkipVerify": true})), tcp(None));
    assert_eq!(kind(json!({"TCP": "a:1", "Interval": interval, "tcp_use_tls": true})), tcp(Some(plain.clone())));
    assert_eq!(kind(json!({"UDP": "a:1", "Interval": interval})), Kind::Udp { address: address.clone() });
    let grpc = |tls| Kind::Grpc { target: "a:1/b".into(), tls };
    assert_eq!(kind(json!({"GRPC": "a:1/b", "Interval": interval})), grpc(None));
    let body =
        json!({"grpc": "a:1/b", "Interval": 1_000_000_000, "grpc_use_tls": true, "TLSServerName": "a.b", "TLSSkipVerify": true});
    assert_eq!(kind(body), grpc(Some(tls)));
    let h2 = |tls| Kind::H2ping { address: "a:1".into(), tls };
    assert_eq!(kind(json!({"H2Ping": "a:1", "Interval": interval})), h2(Some(plain.clone())));
    assert_eq!(kind(json!({"h2ping": "a:1", "Interval": interval, "h2ping_use_tls": false})), h2(None));
    let args = vec!["a".to_owned(), "b".to_owned()];
    for name in ["Args", "args", "ScriptArgs", "script_args", "scriptargs"] {
        assert_eq!(kind(json!({name: ["a", "b"], "Interval": interval})), Kind::Script { args: args.clone() }, "{name}");
    }
    let shell = vec!["/bin/sh".to_owned(), "-c".to_owned(), "exit 1".to_owned()];
    assert_eq!(kind(json!({"Script": "exit 1", "Interval": interval})), Kind::Script { args: shell });
    let docker = Kind::Docker { container: "c".into(), shell: Some("/bin/ash".into()), args };
    let body = json!({"docker_container_id": "c", "Shell": "/bin/ash", "Args": ["a", "b"], "Interval": interval});
    assert_eq!(kind(body), docker);
    let alias =
        |service: Option<&str>, node: Option<&str>| Kind::Alias { service: service.map(Into::into), node: node.map(Into::into) };
    assert_eq!(kind(json!({"alias_service": "a", "Interval": "10s"})), alias(Some("a"), None));
    assert_eq!(kind(json!({"AliasNode": "n", "AliasService": "a"})), alias(Some("a"), Some("n")));
    assert_eq!(kind(json!({"alias_node": "n"})), alias(None, Some("n")));
    assert_eq!(kind(json!({"os_service": "ssh", "Interval": interval})), Kind::OsService { name: "ssh".into() });
    assert_eq!(kind(json!({"PID": 1234})), Kind::Process { pid: 1234 });
    assert_eq!(kind(json!({"pid": "self"})), Kind::Process { pid: 77 });
    assert_eq!(kind(json!({"Hold": true})), Kind::Hold);
    // What is empty is not given.
    let empty = json!({"TTL": "1s", "HTTP": "", "TCP": "", "UDP": "", "GRPC": "", "H2PING": "", "Args": [], "Script": "",
        "AliasService": "", "AliasNode": "", "OSService": "", "DockerContainerID": "", "PID": null, "Hold": false, "Interval": ""});
    assert_eq!(kind(empty), Kind::Ttl { ttl: SECOND });
}

#[test]
fn rhythm_and_thresholds() {
    let spec = checked(json!({
        "TCP": "a:1", "Interval": "1m30s", "timeout": "20ms", "Status": "warning", "output_max_size": 100,
        "success_before_passing": 2, "failures_before_warning": 3, "failures_before_critical": 4,
        "deregister_critical_service_after": "90m"
    }))
    .spec;
    assert_eq!((spec.interval(), spec.timeout()), (Some(90 * SECOND), Duration::from_millis(20)));
    assert_eq!((spec.initial(), spec.output_max_size()), (Status::Warning, 100));
    let counts = (spec.success_before_passing(), spec.failures_before_warning(), spec.failures_before_critical());
    assert_eq!(counts, (2, 3, 4));
    assert_eq!(spec.deregister_after(), Some(5400 * SECOND));

    let raise = Context { short: ShortIntervals::Raise, peer_pid: None };
    let body = json!({"Name": "a", "TCP": "a:1", "Interval": 10});
    assert_eq!(check(&body, &raise).unwrap().spec.interval(), Some(SECOND));
    assert!(matches!(check(&body, &CONTEXT), Err(DefinitionError::Spec { .. })));
}

#[test]
fn a_sidecar_is_an_instance_of_its_own() {
    let body = json!({"Name": "web", "ID": "w1", "Tags": ["a"], "Meta": {"k": "v"}, "Port": 80,
        "connect": {"native": false, "sidecar_service": {}}});
    let parent = registered(&body);
    assert_eq!(parent.instance.connect, r#"{"Native":false}"#);
    let made = sidecar(&body, &parent).unwrap();
    let instance = &made.instance;
    assert_eq!((instance.id.as_str(), instance.service.as_str()), ("w1-sidecar-proxy", "web-sidecar-proxy"));
    assert_eq!((instance.kind.as_str(), instance.port), ("connect-proxy", 0));
    assert_eq!((&instance.tags, &instance.meta), (&parent.instance.tags, &parent.instance.meta));
    assert_eq!(instance.proxy, r#"{"DestinationServiceID":"w1","DestinationServiceName":"web"}"#);
    assert_eq!(made.checks[0].id.as_str(), "service:w1-sidecar-proxy");
    assert_eq!(made.checks[0].spec.kind(), &Kind::Alias { service: Some("w1".into()), node: None });

    let body = json!({"Name": "web", "Connect": {"SidecarService": {"Port": 20000, "Name": "p", "ID": "i", "Tags": [],
        "Proxy": {"destination_service_name": "x"}}}});
    let instance = sidecar(&body, &registered(&body)).unwrap().instance;
    assert_eq!((instance.id.as_str(), instance.service.as_str(), instance.port), ("i", "p", 20000));
    assert_eq!(instance.proxy, r#"{"DestinationServiceID":"web","DestinationServiceName":"x"}"#);
    for body in [json!({"Name": "web"}), json!({"Name": "web", "Connect": {"SidecarService": null}})] {
        assert_eq!(sidecar(&body, &registered(&body)), None);
    }
    let bad = json!({"Name": "web", "Connect": {"SidecarService": {"Port": "x"}}});
    let error = registration(&bad, &CONTEXT).unwrap_err().to_string();
    assert!(error.starts_with("Connect.SidecarService.Port: \"x\""), "{error}");
}
