//! What it costs that each version of each record is signed and checked. `cargo bench -p lobby-core --bench proof`
//!
//! The last figure is a newcomer's to a fleet of 10 000: all it spends on proofs until it knows everybody.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use lobby_core::{
    id::Generation,
    instance::Instance,
    local::LocalRecord,
    proof::{Checker, Signer},
    record::Record,
    time::Moment,
};

const CLUSTER: &str = "lobby";
const NODES: u32 = 10_000;

fn signer(number: u32) -> Arc<Signer> {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&number.to_be_bytes());
    Arc::new(Signer::new(&secret, CLUSTER))
}

/// A node with ten labels and so many instances of about 110 bytes.
fn local(number: u32, instances: usize) -> LocalRecord {
    let mut local = LocalRecord::signed(signer(number), Generation(1), format!("host-{number}").parse().unwrap());
    local.set_labels((0..10).map(|label| format!("label-{label}:{number}").parse().unwrap()));
    for n in 0..instances {
        let plain = Instance::new(format!("web-{n}").parse().unwrap(), "web".parse().unwrap());
        local.set_instance(&Instance { port: 80, tags: ["t".repeat(80)].into(), ..plain }).unwrap();
    }
    local.commit(Moment::ZERO);
    local
}

fn benches(criterion: &mut Criterion) {
    let checker = Checker::new(CLUSTER);
    for (name, instances) in [("10 labels", 0), ("5 instances", 5), ("5 000 instances", 5000)] {
        let local = local(1, instances);
        let record = local.record();
        criterion.bench_function(&format!("hash of a record of {name}"), |bench| bench.iter(|| record.content()));
        let signer = signer(1);
        let unsigned: Record = (**record).clone();
        criterion.bench_function(&format!("sign a record of {name}"), |bench| bench.iter(|| signer.sign(unsigned.clone())));
        criterion.bench_function(&format!("check a record of {name}"), |bench| {
            bench.iter(|| checker.check(black_box(record)).unwrap());
        });
    }
    let (old, new) = (local(1, 5000), {
        let mut local = local(1, 5000);
        local.set_labels(["changed:1".parse().unwrap()]);
        local.commit(Moment::ZERO).unwrap()
    });
    let delta = new.delta_since(old.record().stamp.version).unwrap();
    criterion.bench_function("apply and check a delta of a record of 5 000 instances", |bench| {
        bench.iter(|| checker.check(&old.record().apply(black_box(&delta)).unwrap()).unwrap());
    });
    let fleet: Vec<_> = (0..NODES).map(|number| local(number, 5).record().clone()).collect();
    let mut group = criterion.benchmark_group("fleet");
    group.sample_size(10);
    group.bench_function("check the records of 10 000 nodes of 5 instances", |bench| {
        bench.iter(|| fleet.iter().for_each(|record| checker.check(record).unwrap()));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
