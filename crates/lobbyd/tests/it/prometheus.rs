//! A real Prometheus with http_sd: targets appear, change, and survive an agent that does not know yet.

use lobby_testkit::{eventually, expect, server::prometheus};

use crate::fleet::{SOON, daemon, is_warm};

fn config(agent: std::net::SocketAddr) -> String {
    format!(
        "global: {{ scrape_interval: 1h }}\n\
         scrape_configs:\n\
         \x20 - job_name: fleet\n\
         \x20   http_sd_configs:\n\
         \x20     - url: http://{agent}/v1/prometheus/nodeexporter\n\
         \x20       refresh_interval: 1s\n"
    )
}

fn addresses(server: &lobby_testkit::server::Server) -> Vec<String> {
    let mut found: Vec<_> = prometheus::targets(server)
        .iter()
        .map(|target| {
            let labels = &target["labels"];
            format!("{} {}", labels["instance"].as_str().unwrap_or("?"), labels["location"].as_str().unwrap_or("-"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn targets_appear_change_and_survive_an_agent_that_does_not_know_yet() {
    let labels =
        "prometheus:nodeexporter:host:192.168.1.1,prometheus:nodeexporter:port:9100,prometheus:nodeexporter:location:prague";
    let mut first = daemon("first").env("LABELS", labels).start();
    let address = first.http;
    let server = prometheus::start(&config(address));
    eventually(SOON, || expect(addresses(&server) == ["192.168.1.1:9100 prague"], addresses(&server)));

    let second = daemon("second").env("LABELS", "prometheus:nodeexporter").env("GOSSIP_JOIN", first.gossip()).start();
    eventually(SOON, || expect(addresses(&server) == ["192.168.1.1:9100 prague", "second:9100 -"], addresses(&server)));

    // The hostile one offers a label name, a port and a host that Prometheus would refuse the whole document for.
    let bad = "prometheus:nodeexporter:bad-name:x,prometheus:nodeexporter:host:2a03::1,prometheus:nodeexporter:1:\u{fc}";
    second.request("POST", "/v1/labels", &[], &bad.replace(',', "\n"));
    eventually(SOON, || {
        let found = addresses(&server);
        expect(found.len() == 2 && found.iter().any(|target| target.starts_with("[2a03::1]:9100")), found)
    });

    // In the place of the first one, an agent that waits for a seed which is not there: it does not know, so it says 503.
    first.stop(SOON);
    let waiting = daemon("first").env("PORT", address.port()).env("GOSSIP_JOIN", "127.0.0.1:1").start();
    eventually(SOON, || {
        let status = waiting.get("/v1/prometheus/nodeexporter").status;
        expect(status == 503, status)
    });
    eventually(SOON, || expect(server.log().contains("503"), server.log()));
    assert_eq!(addresses(&server).len(), 2, "old targets are kept");
    drop(waiting);

    let knowing = daemon("first").env("PORT", address.port()).env("GOSSIP_JOIN", second.gossip()).start();
    is_warm(&knowing);
    eventually(SOON, || {
        let found = addresses(&server);
        expect(found.len() == 1 && found[0].starts_with("[2a03::1]:9100"), found)
    });
}
