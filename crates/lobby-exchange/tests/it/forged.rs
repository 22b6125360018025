//! What somebody with access to the network sends in the name of another node: part of the contract, for every exchange that
//! carries bytes.

use lobby_core::{
    id::{Generation, Origin, Version},
    label::Label,
    proof::Signer,
    record::{Entry, Key, Phase, Record, Stamp},
    stats::Verdict,
    time::WallSecond,
    wire::packet::{self, Message},
};
use lobby_testkit::{eventually_async, expect, holds_async};

use crate::{
    contract::{KEEP_ALIVE, Wire},
    node::{CLUSTER, SOON, random_secret},
};

/// The record with another phase and another label, `newer` versions later, signed as before.
fn changed(record: &Record, newer: u64, phase: Phase, label: &str) -> Record {
    let Stamp { generation, version } = record.stamp;
    let stamp = Stamp { generation, version: Version(version.0 + newer) };
    let label = (Key::Label(label.parse::<Label>().unwrap()), Entry { version: stamp.version, value: Some([].into()) });
    let changed = Record::from_parts(record.origin.clone(), record.name.clone(), stamp, stamp.version, phase, [label]);
    changed.unwrap().with_proof(record.proof().cloned())
}

/// Newer versions of somebody's record that somebody else made, and goodbyes.
fn forgeries(real: &Record, secret: &[u8; 32]) -> Vec<(Record, Message)> {
    let stranger = Signer::new(&random_secret(), CLUSTER);
    let stolen = || changed(real, 9, Phase::Running, "forged:1");
    let goodbye = || changed(real, 9, Phase::Left, "forged:1");
    let Origin::Node(id) = real.origin else { unreachable!("it has an id") };
    assert_ne!(id, stranger.id());
    vec![
        (stolen(), Message::Hi),
        (stolen().with_proof(None), Message::Hi),
        (stranger.sign(stolen()), Message::Hi),
        (Signer::new(secret, "other").sign(stolen()), Message::Hi),
        (changed(real, 9, Phase::Restarting, "of:b"), Message::Hi),
        (goodbye(), Message::Hi),
        (goodbye(), Message::Goodbye),
        (goodbye().with_proof(None), Message::Goodbye),
        (stranger.sign(goodbye()), Message::Goodbye),
        (Signer::new(secret, "other").sign(goodbye()), Message::Goodbye),
    ]
}

/// An answer to a newcomer, with two nodes at the newest version that there can be, which nobody signed: one says goodbye.
pub(crate) fn forged_answer() -> Vec<u8> {
    let stamp = Stamp { generation: Generation(u64::MAX), version: Version(u64::MAX) };
    let forged =
        |name: &str| Record::new(Origin::Node(Signer::new(&random_secret(), CLUSTER).id()), name.parse().unwrap(), stamp);
    let (db, web) = (forged("db"), forged("web"));
    let answer = packet::encode_answer([(&db, 0), (&web, 0)], CLUSTER, WallSecond(1), 1 << 20).remove(0);
    let hi = r#""message":"hi""#;
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches(hi).count(), 2, "{answer}");
    answer.replacen(hi, r#""message":"goodbye""#, 1).into_bytes()
}

/// Records that their owner did not write are dropped and counted, and neither they, nor an older version that the owner did
/// write, nor its words in another order change what is known of it.
pub(crate) async fn forged_packets_change_nothing(backend: impl Wire) {
    let (a, mut b) = (backend.node("a"), backend.node("b"));
    a.sees(&["a", "b"]).await;
    let old = b.record();
    b.set_labels(["real:2".to_owned()]);
    let is_as_told = || expect(a.hosts() == ["a of:a", "b real:2"], a.hosts());
    eventually_async(SOON, || async { is_as_told() }).await;
    let real = b.record();
    let encoded = |record: &Record, message| packet::encode(record, message, CLUSTER, WallSecond(1));

    let forged = forgeries(&real, &b.secret);
    for (record, message) in &forged {
        backend.inject(&encoded(record, *message)).await;
    }
    let is_refused = |verdict| matches!(verdict, Verdict::Forged | Verdict::Unsigned);
    let refused = || a.stats.received_counts().filter(|(_, verdict, _)| is_refused(*verdict)).map(|(.., n)| n).sum::<u64>();
    eventually_async(SOON, || async { expect(refused() == forged.len() as u64, refused()) }).await;
    // What the owner did write, but at another time, or as a goodbye.
    let replayed = [(&*old, Message::Hi), (&*real, Message::Goodbye), (&changed(&real, 0, Phase::Left, "x"), Message::Goodbye)];
    for (record, message) in replayed {
        backend.inject(&encoded(record, message)).await;
    }
    holds_async(KEEP_ALIVE * 3, || async { is_as_told() }).await;
    let known = a.snapshot().node(b.id).map(|node| (node.record.stamp, node.record.is_signed()));
    assert_eq!(known, Some((real.stamp, true)));

    b.leave().await;
    a.sees(&["a"]).await;
}
