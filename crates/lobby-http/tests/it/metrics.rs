//! `/metrics`: what is in it, and that it is a document Prometheus can read.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use lobby_core::{
    port::{LinkState, PeerEvent},
    stats::{PacketKind, Queue, Verdict},
};

use crate::{
    fixture::{Fleet, NATS, config},
    gossip::{event, gossip},
};

/// What is shown in [`what_is_counted_is_shown`], among much else.
const LINES: &[&str] = &[
    "lobby_build_info{version=\"0.1.0\"} 1",
    "lobby_revision 101",
    "lobby_warm 1",
    "lobby_age_seconds 0",
    "lobby_hosts 3",
    "lobby_nodes{state=\"alive\",kind=\"id\"} 2",
    "lobby_nodes{state=\"alive\",kind=\"bare\"} 1",
    "lobby_nodes{state=\"failed\",kind=\"id\"} 1",
    "lobby_exchange_link{exchange=\"nats\",state=\"down\"} 1",
    "lobby_exchange_link{exchange=\"nats\",state=\"up\"} 0",
    "lobby_exchange_warm{exchange=\"gossip\"} 1",
    "lobby_packets_received_total{exchange=\"nats\",kind=\"hi\",verdict=\"garbage\"} 1",
    "lobby_packets_sent_total{exchange=\"nats\",kind=\"hi\",verdict=\"ok\"} 1",
    "lobby_received_bytes_total{exchange=\"nats\"} 120",
    "lobby_sent_bytes_total{exchange=\"nats\"} 80",
    "lobby_reconnects_total{exchange=\"nats\"} 1",
    "lobby_queue_depth{exchange=\"nats\",queue=\"events\"} 3",
    "lobby_queue_bound{exchange=\"nats\",queue=\"events\"} 4096",
    "lobby_labels_refused 0",
    "lobby_hook_runs_total{result=\"timed_out\"} 0",
    "lobby_nodes{state=\"restarting\",kind=\"id\"} 0",
    "lobby_nodes{state=\"unattended\",kind=\"id\"} 0",
    "lobby_nodes{state=\"stale\",kind=\"id\"} 0",
    "lobby_handler_runs_total{result=\"failed\"} 2",
    "lobby_handler_dropped_total{what=\"query\"} 3",
    "lobby_catalog_saves_failed_total 4",
    "lobby_user_events_total 1",
    "lobby_templates 3",
    "lobby_template_writes_total 2",
    "lobby_http_requests_total{route=\"list\",status=\"2xx\"} 1",
    "lobby_http_requests_total{route=\"list\",status=\"4xx\"} 1",
    "lobby_http_requests_total{route=\"other\",status=\"4xx\"} 1",
    "lobby_http_refused_total{reason=\"cross_site\"} 1",
    "lobby_http_requests_total{route=\"event\",status=\"2xx\"} 1",
    "lobby_http_requests_total{route=\"members\",status=\"4xx\"} 1",
    "lobby_http_requests_total{route=\"keys\",status=\"4xx\"} 1",
    "lobby_http_requests_total{route=\"ask\",status=\"4xx\"} 1",
    "lobby_http_requests_total{route=\"coordinate\",status=\"4xx\"} 1",
    "lobby_http_requests_total{route=\"operator\",status=\"4xx\"} 1",
    "lobby_http_requests_total{route=\"consul\",status=\"5xx\"} 1",
    "lobby_registry_instances 1",
    "lobby_registry_checks{status=\"passing\"} 0",
    "lobby_registry_checks{status=\"warning\"} 0",
    "lobby_registry_checks{status=\"critical\"} 1",
    "lobby_check_runs_total 11",
    "lobby_check_late_runs_total 2",
    "lobby_registry_taken_away_total 3",
    "lobby_registry_refused_total 4",
    "lobby_registry_jobs 5",
    "lobby_journal_bytes 900",
    "lobby_journal_live_bytes 800",
    "lobby_journal_entries_total 12",
    "lobby_journal_entries_refused_total 1",
    "lobby_journal_commits_total 6",
    "lobby_journal_commits_failed_total 7",
    "lobby_journal_compactions_failed_total 8",
    "lobby_http_connections_bound 16384",
    "lobby_http_waits 0",
    "lobby_http_waits_bound 8192",
    "lobby_http_asks 0",
    "lobby_http_asks_bound 32",
];

#[tokio::test]
async fn what_is_counted_is_shown() {
    let gossip = gossip(|command| panic!("unexpected {command:?}"));
    let served = Fleet::new(&[])
        .node(2, "a", &[])
        .bare("b", &[])
        .node(3, "c", &[])
        .failed(3)
        .event(NATS, PeerEvent::Link(LinkState::Down { why: "x".into() }))
        .serve_gossip(config(), gossip.handle.clone());
    gossip.tell(event(1, "deploy", b""));
    served.agent.handlers_failed.store(2, Relaxed);
    served.agent.handlers_queries_dropped.store(3, Relaxed);
    served.agent.catalog_saves_failed.store(4, Relaxed);
    served.get("/v1/event/list").await;
    served.put("/v1/agent/service/register", r#"{"Name":"web","Check":{"TTL":"1s"}}"#).await;
    served.get("/v1/kv/a").await;
    for path in ["/v1/agent/info", "/v1/keys/use", "/v1/ask/x", "/v1/coordinate/x", "/v1/agent/join/x"] {
        served.ask("DELETE", path, &[], "").await;
    }
    served.nats_stats.received(PacketKind::Hi, Verdict::Garbage, 120);
    served.nats_stats.sent(PacketKind::Hi, Verdict::Ok, 80);
    served.nats_stats.reconnected();
    served.nats_stats.depth(Queue::Events, 3, 4096);
    served.get("/").await;
    served.get("/none").await;
    served.ask("GET", "/", &[("sec-fetch-site", "cross-site")], "").await;
    let answer = served.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in LINES {
        assert!(answer.text().lines().any(|other| other == *line), "{line} is not in\n{}", answer.text());
    }
}

/// Every family has HELP and TYPE first, its samples in one block, no sample twice, and a number at the end of each.
#[tokio::test]
async fn the_document_is_well_formed() {
    let served = Fleet::new(&[]).node(2, "a", &[]).serve(config());
    served.get("/").await;
    let answer = served.get("/metrics").await;
    let (mut families, mut samples) = (HashSet::new(), HashSet::new());
    let mut family = "";
    let mut lines = answer.text().lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} twice");
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap().split_once(' ').unwrap();
            assert!(kind == (family, "counter") || kind == (family, "gauge"), "{kind:?}");
            assert_eq!(family.ends_with("_total"), kind.1 == "counter", "{family}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert_eq!(sample.split('{').next().unwrap(), family);
        assert!(family.starts_with("lobby_"));
        assert!(samples.insert(sample), "{sample} twice");
        value.parse::<f64>().unwrap();
    }
    assert!(families.len() > 30, "{families:?}");
}
