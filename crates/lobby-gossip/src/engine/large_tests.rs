//! Entries larger than a datagram, and the names of those who are gone: what records tell travels whole and stays known.

use lobby_core::{instance::Instance, limits, port::Announcement};

use super::{
    testnet::{MS, Net},
    *,
};

/// An instance with sixty rules of a router, of 2 KiB each; the first is this one.
fn instance(first: &str) -> Instance {
    let mut instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    // Nothing that packs well.
    let rule = |n: usize| letters(n).repeat(2048 / 64);
    instance.tags = std::iter::once(first.to_owned()).chain((1..60).map(rule)).collect();
    instance
}

/// Sixty-four letters that differ from those of any other number.
fn letters(n: usize) -> String {
    use rand::RngExt;
    let mut rng = SmallRng::seed_from_u64(n as u64);
    (0..64).map(|_| char::from(b'a' + rng.random_range(0..26))).collect()
}

fn announce(net: &mut Net, idx: usize, change: impl FnOnce(&mut lobby_core::local::LocalRecord)) -> Arc<Record> {
    let local = &mut net.hosts[idx].local;
    change(local);
    let record = local.commit(net.now).unwrap();
    net.input(idx, Input::Announce(Announcement::new(record.clone(), true)));
    record
}

fn holders(net: &Net, record: &Arc<Record>) -> usize {
    let id = record.origin.node_id().unwrap();
    (0..net.hosts.len()).filter(|idx| net.engine(*idx).record(id) == Some(record)).count()
}

#[test]
fn an_entry_of_many_datagrams_reaches_all_and_so_does_each_change_of_it() {
    let mut net = Net::formed(3, 7);
    let record = announce(&mut net, 0, |local| local.set_instance(&instance("a")).unwrap());
    net.run(300 * MS);
    assert_eq!(holders(&net, &record), 3);
    assert_eq!(net.engine(2).record(net.id(0)).unwrap().instances().next().unwrap().tags.len(), 60);
    // The delta is as large again.
    let record = announce(&mut net, 0, |local| local.set_instance(&instance("b")).unwrap());
    net.run(300 * MS);
    assert_eq!(holders(&net, &record), 3);
    // What is small goes by datagram beside it, whether the large one is settled or not.
    for wait in [0, 10_000] {
        net.run(wait * MS);
        let record = announce(&mut net, 0, |local| local.set_meta("version", &format!("after-{wait}")));
        net.run(100 * MS);
        assert_eq!(holders(&net, &record), 3, "{wait}");
    }
    // The longest tag, as many of them as a record takes with what else is in it.
    let mut largest = instance("c");
    largest.tags = vec!["x".repeat(limits::TAG_BYTES); 250].into();
    let record = announce(&mut net, 0, |local| local.set_instance(&largest).unwrap());
    net.run(2000 * MS);
    assert_eq!(holders(&net, &record), 3);
}

#[test]
fn members_keep_their_names_when_they_are_gone() {
    let mut net = Net::formed(4, 8);
    let (left, killed) = (net.id(2), net.id(3));
    net.leave(2, false);
    net.kill(2);
    net.hosts[3].rejects = true;
    net.kill(3);
    net.run(20_000 * MS);
    let view = net.engine(0).make_view(net.now);
    for (id, state) in [(left, "left"), (killed, "failed"), (net.id(0), "alive")] {
        let member = view.members.iter().find(|member| member.id == id).unwrap();
        assert_eq!((member.name.as_ref().map(|name| name.as_str()), member.state), (Some("node"), state));
    }
}

/// Who has the cluster's key tells of a version that there is not: it must not hide the one that there is.
#[test]
fn a_forged_hint_does_not_keep_the_true_version_away() {
    use lobby_core::{id::Version, record::Stamp};
    let mut net = Net::formed(3, 7);
    let stamp = Stamp { generation: Generation(u64::MAX), version: Version(u64::MAX) };
    let id = net.id(0);
    for idx in [1, 2] {
        net.with(idx, |engine, now| engine.take_hint(id, stamp, super::testnet::addr(0), now));
    }
    let record = announce(&mut net, 0, |local| local.set_instance(&instance("a")).unwrap());
    net.run(300 * MS);
    assert_eq!(holders(&net, &record), 3);
}
