//! Serves a made-up catalog, to measure `GET /` and `/v1/prometheus/x` beside other servers of the same bytes.
//!
//! `cargo run --release -p lobby-http --example serve_list -- SERVERS PORT`: each server has a packet of about 310 bytes.
//! One thread, as the peer it is compared with has one worker.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness},
    id::{ExchangeId, Generation, NodeId, Origin, Revision, Version},
    local::LocalRecord,
    port::{
        CatalogReader, Commands, LinkState, PeerEvent, external::ExternalHandle, gossip::GossipHandle, registry::RegistryHandle,
    },
    record::{Entry, Key, Record, Stamp},
    stats::AgentStats,
    time::{Moment, Now, WallSecond},
};
use lobby_http::{App, Config, Handles, serve};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

const MEMORY: ExchangeId = ExchangeId(0);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u32>().expect("a number"));
    let n_servers = args.next().unwrap_or(1000);
    let port = u16::try_from(args.next().unwrap_or(0)).expect("a port");
    let (_snapshots, receiver) = watch::channel(catalog(n_servers).poll_snapshot().expect("the first snapshot"));
    let (sender, _commands) = mpsc::channel(1);
    let handles = Handles {
        reader: CatalogReader::new(receiver),
        commands: Commands::new(sender),
        gossip: GossipHandle::none(),
        // Nothing is registered, and nobody registers.
        registry: RegistryHandle::none(),
        externals: ExternalHandle::none(),
        agent: Arc::new(AgentStats::default()),
        exchanges: Vec::new(),
        templates: None,
        dns: None,
        proxy: None,
        proxy_counts: None,
        log: None,
        clock: Arc::new(now),
    };
    let app = App::new(Config { node_exporter_port: 9100, ..Config::default() }, handles);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    println!("{}", listener.local_addr().expect("a bound listener has an address"));
    serve(listener, app, std::future::pending()).await;
}

#[expect(clippy::disallowed_methods, reason = "an example reads the clock itself")]
fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { moment: Moment::from_micros(since.as_micros() as u64), wall: WallSecond(since.as_secs()) }
}

fn catalog(n_servers: u32) -> Catalog {
    let own = LocalRecord::new(NodeId::from_bytes([255; 16]), Generation(1), "here".parse().expect("a name"));
    let spec = ExchangeSpec { name: "memory".into(), liveness: Liveness::Reported };
    let mut catalog = Catalog::new(Revision(1), [spec], own.record().clone(), false, Duration::from_secs(60), now());
    catalog.apply(MEMORY, PeerEvent::Link(LinkState::Up), now());
    catalog.apply(MEMORY, PeerEvent::Warm, now());
    for idx in 0..n_servers {
        let record = server(idx);
        let origin = record.origin.clone();
        catalog.apply(MEMORY, PeerEvent::Record(Arc::new(record)), now());
        catalog.apply(MEMORY, PeerEvent::Seen(origin, Duration::ZERO), now());
    }
    catalog
}

fn server(idx: u32) -> Record {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&idx.to_be_bytes());
    let labels = [
        "service:web".to_owned(),
        format!("location:dc{}", idx % 7),
        format!("public_ip4:10.1.{}.{}", idx / 256, idx % 256),
        format!("public_ip6:2a03:b0c0::{idx:x}"),
        "prometheus:x:location:prague".to_owned(),
        format!("prometheus:x:host:10.1.{}.{}", idx / 256, idx % 256),
    ];
    let entry = Entry { version: Version(1), value: Some(Default::default()) };
    let entries = labels.iter().map(|label| (Key::Label(label.parse().expect("a label")), entry.clone()));
    let name = format!("server-{idx:05}.example.com").parse().expect("a name");
    let stamp = Stamp { generation: Generation(1), version: Version(1) };
    Record::from_parts(Origin::Node(NodeId::from_bytes(id)), name, stamp, Version(0), lobby_core::record::Phase::Running, entries)
        .expect("within the limits")
}
