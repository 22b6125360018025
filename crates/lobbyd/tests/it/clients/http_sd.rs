//! A real Prometheus that reads the instances of a service. Targets made of labels: `prometheus.rs`.

use lobby_testkit::{
    eventually, expect,
    server::{Server, prometheus},
};
use serde_json::{Value, json};

use crate::{
    catalog::{all_pass, deregister, register},
    fleet::{SOON, all_list, gossiping, is_warm},
};

fn addresses(server: &Server) -> Vec<Value> {
    let mut found: Vec<_> = prometheus::targets(server).iter().map(|target| target["labels"]["instance"].clone()).collect();
    found.sort_by_key(ToString::to_string);
    found
}

/// Waits until these are its targets.
#[track_caller]
fn scrapes(server: &Server, want: &[&str]) {
    eventually(SOON, || {
        let found = addresses(server);
        expect(found == want, (found, server.log()))
    });
}

#[test]
fn prometheus_scrapes_the_instances_of_a_service_and_knows_what_they_are() {
    let fleet = gossiping(2);
    all_list(&fleet, &["n0", "n1"]);
    fleet.iter().for_each(is_warm);
    register(&fleet[0], &json!({"Name": "web", "ID": "web-0", "Address": "10.9.0.1", "Port": 8080, "Tags": ["a"]}));
    register(&fleet[1], &json!({"Name": "web", "ID": "web-1", "Address": "10.9.0.2", "Port": 8081, "Meta": {"bad-name": "x"}}));
    // Nobody can scrape it, and it must not spoil the whole document.
    register(&fleet[1], &json!({"Name": "web", "ID": "web-2", "Address": "10.9.0.3"}));
    register(&fleet[1], &json!({"Name": "other", "Address": "10.9.0.4", "Port": 1}));
    all_pass(&fleet, "web", &["web-0", "web-1", "web-2"]);
    let server = prometheus::start(&format!(
        "global: {{ scrape_interval: 1h }}\nscrape_configs:\n- job_name: web\n\
         \x20 http_sd_configs: [ {{ url: \"http://{}/v1/http_sd?service=web\", refresh_interval: 1s }} ]\n",
        fleet[0].http
    ));
    scrapes(&server, &["10.9.0.1:8080", "10.9.0.2:8081"]);
    for (target, node) in prometheus::targets(&server).iter().map(|target| {
        let node = if target["labels"]["instance"] == "10.9.0.1:8080" { "n0" } else { "n1" };
        (target, node)
    }) {
        let labels = target["discoveredLabels"].as_object().unwrap();
        let ours: Vec<_> = labels.iter().filter(|(name, _)| name.starts_with("__meta_lobby_")).map(|(_, value)| value).collect();
        assert!(ours.contains(&&json!("web")) && ours.contains(&&json!(node)), "service and node: {labels:?}");
    }
    register(&fleet[1], &json!({"Name": "web", "ID": "web-1", "Address": "2001:db8::1", "Port": 8081}));
    scrapes(&server, &["10.9.0.1:8080", "[2001:db8::1]:8081"]);
    deregister(&fleet[0], "web-0");
    scrapes(&server, &["[2001:db8::1]:8081"]);
    deregister(&fleet[1], "web-1");
    scrapes(&server, &[]);
    assert!(!server.log().contains("refresh failed"), "{}", server.log());
}
