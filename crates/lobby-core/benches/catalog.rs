//! The hot functions at the size the design aims at: 10 000 nodes. `cargo bench -p lobby-core`
//!
//! Not here: the daemon as a whole, beside a peer (`bench/`).

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    local::LocalRecord,
    port::PeerEvent,
    record::Record,
    select::Selector,
    time::{Moment, Now, WallSecond},
    wire::{binary, packet, rest},
};

const NODES: u32 = 10_000;
const EXCHANGE: ExchangeId = ExchangeId(0);

/// A node with ten labels, `version - 1` changes old.
fn record(number: u32, version: u32) -> Arc<Record> {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let mut local = LocalRecord::new(NodeId::from_bytes(id), Generation(1), format!("host-{number}").parse().unwrap());
    for version in 1..=version {
        let labels = (0..10).map(|label| format!("label-{label}:{number}-{}", version * u32::from(label == 0)));
        local.set_labels(labels.map(|label| label.parse().unwrap()));
        local.commit(Moment::ZERO);
    }
    local.record().clone()
}

fn catalog() -> Catalog {
    let spec = ExchangeSpec { name: "bench".into(), liveness: Liveness::Ttl(Duration::from_secs(30)) };
    let mut catalog = Catalog::new(Revision(1), [spec], record(u32::MAX, 1), true, Duration::from_secs(60), Now::default());
    for number in 0..NODES {
        let record = record(number, 1);
        let origin = record.origin.clone();
        catalog.apply(EXCHANGE, PeerEvent::Record(record), Now::default());
        catalog.apply(EXCHANGE, PeerEvent::Seen(origin, Duration::ZERO), Now::default());
    }
    catalog.poll_snapshot();
    catalog
}

fn benches(criterion: &mut Criterion) {
    let mut subject = catalog();
    let mut version = 1;
    criterion.bench_function("one change and its snapshot among 10 000 nodes", |bench| {
        bench.iter_batched(
            || {
                version += 1;
                let mut next = (*record(77, 2)).clone();
                next.stamp.version.0 = version + 2;
                Arc::new(next)
            },
            |record| {
                subject.apply(EXCHANGE, PeerEvent::Record(record), Now::default());
                black_box(subject.poll_snapshot())
            },
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("one keep-alive among 10 000 nodes", |bench| {
        let origin: Origin = record(77, 1).origin.clone();
        bench.iter(|| subject.apply(EXCHANGE, PeerEvent::Seen(origin.clone(), Duration::ZERO), Now::default()));
    });

    let mut whole = catalog();
    whole.set_local(record(u32::MAX, 2));
    let snapshot = whole.poll_snapshot().unwrap();
    criterion.bench_function("the list of 10 000 nodes", |bench| {
        bench.iter(|| rest::list(snapshot.hosts.values().map(Arc::as_ref), Now::default()));
    });
    let selector = Selector::from_query(Some("label-3:77-0,label-4:78-0"), None);
    criterion.bench_function("a filter over 10 000 nodes", |bench| {
        bench.iter(|| snapshot.hosts.values().filter(|host| selector.takes(host)).count());
    });

    let record = record(77, 3);
    let mut bytes = Vec::new();
    binary::encode_record(&record, &mut bytes);
    criterion.bench_function("decode a binary record of ten labels", |bench| bench.iter(|| binary::decode_record(&bytes)));
    let text = packet::encode(&record, packet::Message::Hi, "lobby", WallSecond(1));
    criterion.bench_function("decode a JSON packet of ten labels", |bench| bench.iter(|| packet::decode(&text, EXCHANGE)));
}

criterion_group!(all, benches);
criterion_main!(all);
