//! Nodes without an agent: their records reach everybody, whenever somebody comes, and are nobody's members.

use imbl::OrdMap;
use lobby_core::{
    external::{self, Change, NodeData},
    id::Version,
    instance::Instance,
    limits,
    port::Announcement,
    record::Stamp,
};

use super::{
    testnet::{MS, Net, addr},
    *,
};

/// A version of the record of this node, with a service that has so many bytes of meta.
fn version(old: Option<&Record>, name: &str, now: u64, bytes: usize) -> Arc<Record> {
    let mut instance = Instance::new("db-1".parse().unwrap(), "db".parse().unwrap());
    instance.meta = Arc::new((0..bytes.div_ceil(500)).map(|n| (format!("key-{n}"), now.to_string().repeat(40))).collect());
    let node = NodeData { address: "10.1.1.1".into(), ..NodeData::default() };
    let changes = [Change::Node(node), Change::Instance(Box::new(instance))];
    let writer = NodeId::from_bytes([9; 16]);
    Arc::new(external::next(old, &name.parse().unwrap(), writer, now, &changes).unwrap().unwrap())
}

fn announce(net: &mut Net, idx: usize, records: &[Arc<Record>]) {
    let record = net.engine(idx).record(net.id(idx)).unwrap().clone();
    let externals: OrdMap<_, _> = records.iter().map(|record| (record.origin.node_id().unwrap(), record.clone())).collect();
    net.input(idx, Input::Announce(Announcement { record, listed: true, externals }));
}

fn holders(net: &Net, n: usize, record: &Arc<Record>) -> usize {
    let id = record.origin.node_id().unwrap();
    (0..n).filter(|idx| net.engine(*idx).record(id) == Some(record)).count()
}

#[test]
fn a_write_reaches_everybody_and_the_latest_counts() {
    let mut net = Net::formed(6, 1);
    let first = version(None, "db", 100, 0);
    announce(&mut net, 0, std::slice::from_ref(&first));
    net.run(300 * MS);
    assert_eq!(holders(&net, 6, &first), 6);
    // Too large for a datagram, from somebody else.
    let second = version(Some(&first), "db", 200, 5000);
    announce(&mut net, 5, std::slice::from_ref(&second));
    net.run(1000 * MS);
    assert_eq!(holders(&net, 6, &second), 6);
    announce(&mut net, 1, &[first]);
    net.run(1000 * MS);
    assert_eq!(holders(&net, 6, &second), 6, "an old version comes to nothing");
    assert!((0..6).all(|idx| net.engine(idx).n_members() == 5), "it is no member");
}

#[test]
fn whoever_comes_later_is_told_by_the_exchange() {
    let mut net = Net::formed(3, 2);
    let record = version(None, "db", 100, 0);
    announce(&mut net, 0, std::slice::from_ref(&record));
    net.run(1000 * MS);
    // As their node tasks do.
    (0..3).for_each(|idx| announce(&mut net, idx, std::slice::from_ref(&record)));
    net.run(30_000 * MS);
    let late = net.add(NodeId::from_bytes([77; 16]), 100, addr(3));
    net.run(5000 * MS);
    assert_eq!(holders(&net, 4, &record), 4);
    assert_eq!(net.engine(late).n_members(), 3);
    // Nobody compares for ever what is equal.
    let sums: Vec<_> = (0..4).map(|idx| net.engine(idx).roster.sums().root).collect();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

#[test]
fn it_outlives_every_member_and_the_hour_after_which_the_dead_are_forgotten() {
    let mut net = Net::formed(3, 3);
    let record = version(None, "db", 100, 0);
    announce(&mut net, 0, std::slice::from_ref(&record));
    net.run(1000 * MS);
    net.kill(0);
    net.run(2 * 3600 * 1000 * MS);
    assert!([1, 2].iter().all(|idx| net.engine(*idx).record(record.origin.node_id().unwrap()) == Some(&record)));
}

#[test]
fn what_the_node_task_gives_up_is_forgotten() {
    let mut net = Net::formed(2, 4);
    let record = version(None, "db", 100, 0);
    let sum = net.engine(0).roster.sums().root;
    announce(&mut net, 0, std::slice::from_ref(&record));
    net.run(1000 * MS);
    announce(&mut net, 1, &[]);
    assert_eq!(holders(&net, 2, &record), 2, "the node task may not have heard of it yet");
    net.run(10_000 * MS);
    (0..2).for_each(|idx| announce(&mut net, idx, &[]));
    net.run(10_000 * MS);
    assert_eq!(holders(&net, 2, &record), 0);
    assert_eq!(net.engine(0).roster.sums().root, sum);
}

#[test]
fn more_than_there_may_be_are_refused() {
    let mut net = Net::formed(2, 5);
    let records: Vec<_> = (0..=limits::EXTERNALS).map(|n| version(None, &format!("db-{n}"), 100, 0)).collect();
    announce(&mut net, 0, &records);
    assert_eq!(net.engine(0).roster.externals().count(), limits::EXTERNALS);
    net.run(60_000 * MS);
    assert_eq!(net.engine(1).roster.externals().count(), limits::EXTERNALS);
}

/// The version that says that the node was removed.
fn removed(old: &Record, now: u64) -> Arc<Record> {
    let changes = [Change::Remove];
    Arc::new(external::next(Some(old), &old.name, NodeId::from_bytes([9; 16]), now, &changes).unwrap().unwrap())
}

#[test]
fn what_one_gave_up_does_not_come_back_from_those_that_keep_it() {
    let mut net = Net::formed(3, 6);
    let first = version(None, "db", 100, 0);
    announce(&mut net, 0, std::slice::from_ref(&first));
    net.run(11_000 * MS);
    announce(&mut net, 1, &[]);
    net.run(120_000 * MS);
    assert!(net.engine(1).record(first.origin.node_id().unwrap()).is_none());
    assert_eq!(holders(&net, 3, &first), 2);
    // A newer version is news, and our own node task may think better of it.
    let second = version(Some(&first), "db", 200, 500);
    announce(&mut net, 0, std::slice::from_ref(&second));
    net.run(1000 * MS);
    assert_eq!(holders(&net, 3, &second), 3);
    net.run(11_000 * MS);
    announce(&mut net, 1, &[]);
    assert_eq!(holders(&net, 3, &second), 2);
    announce(&mut net, 1, std::slice::from_ref(&second));
    assert_eq!(holders(&net, 3, &second), 3);
}

#[test]
fn what_the_node_task_refused_makes_way_for_the_older_version_that_it_keeps() {
    let mut net = Net::formed(2, 7);
    let (poison, good) = (version(None, "db", u64::MAX, 0), version(None, "db", 100, 0));
    announce(&mut net, 0, std::slice::from_ref(&poison));
    net.run(11_000 * MS);
    assert_eq!(holders(&net, 2, &poison), 2);
    (0..2).for_each(|idx| announce(&mut net, idx, std::slice::from_ref(&good)));
    net.run(60_000 * MS);
    assert_eq!(holders(&net, 2, &good), 2);
}

#[test]
fn removed_ones_make_room_for_others_the_oldest_first() {
    let mut engine = super::tests::engine(1, false);
    let mut records: Vec<_> = (0..limits::EXTERNALS).map(|n| version(None, &format!("db-{n}"), 100, 0)).collect();
    let gone = [removed(&records[5], 300), removed(&records[6], 200)];
    (records[5], records[6]) = (gone[0].clone(), gone[1].clone());
    for record in records {
        assert_eq!(engine.take_record(record, Moment::ZERO), Verdict::Ok);
    }
    let more = version(None, "more", 100, 0);
    assert_eq!(engine.take_record(more.clone(), Moment::ZERO), Verdict::Ok);
    let holds = |record: &Record| engine.roster.record(record.origin.node_id().unwrap()).is_some();
    assert_eq!((holds(&more), holds(&gone[0]), holds(&gone[1])), (true, true, false));
    assert_eq!(engine.roster.externals().count(), limits::EXTERNALS);
    assert_eq!(engine.take_record(gone[1].clone(), Moment::ZERO), Verdict::Stale, "or the two would take turns for ever");
}

#[test]
fn nobody_claims_to_be_the_process_of_a_node_without_an_agent() {
    let mut engine = super::tests::engine(1, false);
    let record = version(None, "db", 100, 0);
    assert_eq!(engine.take_record(record.clone(), Moment::ZERO), Verdict::Ok);
    let stamp = Stamp { generation: Generation(u64::MAX), version: Version(1) };
    let unmarked = Arc::new(Record::new(record.origin.clone(), record.name.clone(), stamp));
    assert_eq!(engine.take_record(unmarked, Moment::ZERO), Verdict::Stale);
    assert_eq!(engine.roster.record(record.origin.node_id().unwrap()), Some(&record));
}
