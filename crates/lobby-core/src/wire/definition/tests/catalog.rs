//! Bodies of the catalog: nodes without an agent, their services, and checks that are only told.

use super::*;
use crate::check::view::CheckKind;

#[track_caller]
fn error(body: Value) -> String {
    catalog_register(&body).unwrap_err().to_string()
}

#[test]
fn a_node_with_everything() {
    let made = catalog_register(&json!({
        "Node": "printer", "ID": "6C1E0F0A-5D0E-4A8E-9B7D-0A5C3F1E2D44", "Address": "10.9.0.7", "Datacenter": "dc1",
        "TaggedAddresses": {"lan": "10.9.0.7"}, "NodeMeta": {"Ext_Node": "true"}, "SkipNodeUpdate": true,
        "Service": {"Service": "ipp", "Port": 631, "tags": ["a"], "Meta": {"k": "v"}},
        "Check": {"Node": "printer", "CheckID": "c1", "Name": "C", "Status": "passing", "ServiceID": "ipp", "Notes": "n",
            "Output": "fine\r\n", "Type": "http", "Definition": {"Interval": "10s", "TimeoutDuration": 2_000_000_000_u64,
            "DeregisterCriticalServiceAfter": "30m"}},
        "Checks": [{"Name": "D"}]
    }))
    .unwrap();
    assert_eq!((made.node.as_str(), made.address.as_str(), made.skip_node_update), ("printer", "10.9.0.7", true));
    assert_eq!(made.id.as_deref(), Some("6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44"));
    assert_eq!(made.datacenter.as_deref(), Some("dc1"));
    assert_eq!((made.tagged_addresses["lan"].as_str(), made.node_meta["Ext_Node"].as_str()), ("10.9.0.7", "true"));
    let service = made.service.unwrap();
    assert_eq!((service.id.as_str(), service.service.as_str(), service.port), ("ipp", "ipp", 631));
    let [first, second] = &*made.checks else { panic!("{:?}", made.checks) };
    assert_eq!((first.view.id.as_str(), first.view.name.as_str(), first.view.status), ("c1", "C", Status::Passing));
    assert_eq!((first.view.kind, first.view.output.as_str(), first.view.notes.as_str()), (CheckKind::Http, "fine\n", "n"));
    assert_eq!(first.view.instance.as_ref().unwrap().as_str(), "ipp");
    assert_eq!((first.view.interval, first.view.timeout), (10 * SECOND, 2 * SECOND));
    assert_eq!(first.deregister_after, 1800 * SECOND);
    assert_eq!((second.view.id.as_str(), second.view.status, &second.view.instance), ("D", Status::Critical, &None));
}

#[test]
fn what_a_node_needs() {
    for (body, part) in [
        (json!({"Address": "a"}), "Missing node name"),
        (json!({"Node": "a"}), "Missing node address"),
        (json!({"Node": "a b", "Address": "a"}), "Node: \"a b\""),
        (json!({"Node": "a", "Address": "0.0.0.0"}), "address: \"0.0.0.0\""),
        (json!({"Node": "a", "Address": "a", "ID": "7"}), "UUID"),
        (json!({"Node": "a", "Address": "a", "ID": "6c1e0f0a15d0e-4a8e-9b7d-0a5c3f1e2d44"}), "UUID"),
        (json!({"Node": "a", "Address": "a", "Service": {}}), "Service.Service"),
        (json!({"Node": "a", "Address": "a", "Service": {"Service": "b", "Address": "::"}}), "Invalid service address"),
        (json!({"Node": "a", "Address": "a", "Check": {"Status": "passing"}}), "Missing check name: Check.Name"),
        (json!({"Node": "a", "Address": "a", "Check": {"Name": "a", "Status": "ok"}}), "passing, warning, critical"),
        (json!({"Node": "a", "Address": "a", "Check": {"Name": "a", "Definition": {"Interval": "x"}}}), "invalid duration"),
        (json!({"Node": "a", "Address": "a", "TaggedAddresses": {"lan": "::"}}), "taggedaddresses"),
        (json!({"Node": "a", "Address": "a", "NodeMeta": {"a b": ""}}), "nodemeta key"),
    ] {
        let text = error(body);
        assert!(text.contains(part), "{text}\ndoes not say {part:?}");
    }
    assert!(catalog_register(&json!({"node": "a", "skip_node_update": true})).is_ok());
    let meta = |count: usize| (0..count).map(|n| (n.to_string(), json!(""))).collect::<serde_json::Map<_, _>>();
    assert!(catalog_register(&json!({"Node": "a", "Address": "a", "NodeMeta": meta(64)})).is_ok());
    assert!(error(json!({"Node": "a", "Address": "a", "NodeMeta": meta(65)})).contains("NodeMeta: 65"));
    assert!(error(json!({"Node": "a", "Address": "a", "TaggedAddresses": meta(17)})).contains("TaggedAddresses: 17"));
}

#[test]
fn what_is_to_go() {
    let made = catalog_deregister(&json!({"node": "a", "service_id": "b", "checkid": "c", "Datacenter": ""})).unwrap();
    assert_eq!((made.node.as_str(), made.datacenter), ("a", None));
    assert_eq!((made.service.unwrap().as_str(), made.check.unwrap().as_str()), ("b", "c"));
    let made = catalog_deregister(&json!({"Node": "a", "ServiceID": "", "CheckID": null})).unwrap();
    assert_eq!((made.service, made.check), (None, None));
    assert!(catalog_deregister(&json!({"ServiceID": "b"})).unwrap_err().to_string().contains("Missing node name"));
}

#[test]
fn the_definition_of_a_check_is_given_back_whole_in_consuls_spelling() {
    let told = |definition: Value| {
        let body = json!({"Node": "a", "Address": "a", "Check": {"Name": "c", "Definition": definition}});
        catalog_register(&body).map(|made| made.checks[0].view.definition.clone())
    };
    let all = json!({
        "HTTP": "https://a/", "Method": "PUT", "Header": {"x-Y": ["a", "b"]}, "Body": "{}", "TLSServerName": "a",
        "TLSSkipVerify": true, "DisableRedirects": true, "TCP": "a:1", "TCPUseTLS": false, "UDP": "a:2", "GRPC": "a:3/b",
        "GRPCUseTLS": true, "H2PING": "a:4", "H2PingUseTLS": true, "OSService": "a", "AliasNode": "n", "AliasService": "s",
        "ScriptArgs": ["true", "1"], "DockerContainerID": "d", "Shell": "/bin/sh", "TTL": "20s",
        "Interval": "10s", "Timeout": "1.5s", "DeregisterCriticalServiceAfter": "30m0s"
    });
    assert_eq!(serde_json::from_str::<Value>(&told(all.clone()).unwrap()).unwrap(), all);
    let spelled = json!({"http": "a", "tls_skip_verify": true, "IntervalDuration": 2_000_000_000_u64, "interval": "9s",
        "TimeoutDuration": "3s", "deregister_critical_service_after": "1m", "Unknown": 1, "Body": "", "Header": {}});
    let want = json!({"HTTP": "a", "TLSSkipVerify": true, "Interval": "2s", "Timeout": "3s",
        "DeregisterCriticalServiceAfter": "1m0s"});
    assert_eq!(serde_json::from_str::<Value>(&told(spelled).unwrap()).unwrap(), want);
    assert_eq!(told(json!({})).unwrap(), "");
    for bad in [json!({"HTTP": 1}), json!({"Header": {"a": "b"}}), json!({"TLSSkipVerify": "yes"}), json!({"TTL": "x"})] {
        assert!(told(bad.clone()).is_err(), "{bad}");
    }
    let body = |bytes: usize| told(json!({"Body": "x".repeat(bytes)}));
    let around = r#"{"Body":""}"#.len();
    assert!(body(crate::limits::OPAQUE_BYTES - around).is_ok());
    assert!(body(crate::limits::OPAQUE_BYTES - around + 1).unwrap_err().to_string().contains("definition"));
}
