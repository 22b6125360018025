//! Packets near the broker's bound: what is left out first, and what is not sent at all.

use lobby_core::{
    instance::Instance,
    label::Label,
    stats::{PacketKind, Verdict},
};

use super::*;

/// A complete agent with a service of some long tags, behind a broker that takes packets of so many bytes; what it sent.
fn told(max_bytes: usize) -> (Vec<Vec<u8>>, Bench) {
    let mut bench = Bench::complete(Answering::Queue);
    bench.bus(BusEvent::Down { why: "test".into() });
    bench.bus(BusEvent::Up { max_bytes });
    bench.drain();
    bench.run_until(7_000);
    bench.drain();
    let tags = (0..10).map(|n| format!("{n:0>100}")).collect();
    let web = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    bench.local.set_instance(&Instance { tags, ..web }).unwrap();
    let record = bench.local.commit(Moment::ZERO).unwrap();
    bench.broker.handle_announcement(Announcement::new(record, true), bench.now);
    bench.run_until(8_000);
    let packets = bench.drain().into_iter().filter_map(|output| match output {
        Output::Send(Address::Packets, PacketKind::Hi, bytes) => Some(bytes),
        _ => None,
    });
    (packets.collect(), bench)
}

#[test]
fn labels_that_show_services_go_first() {
    let (packets, bench) = told(1 << 20);
    let [long] = &packets[..] else { panic!("{} packets", packets.len()) };
    let short = packet::encode_short(bench.local.record(), "lobby", WallSecond(1)).len();
    assert!(long.len() > short + 1000);
    let (packets, _) = told(long.len() - 1);
    let [packet] = &packets[..] else { panic!("{} packets", packets.len()) };
    let text = String::from_utf8(packet.clone()).unwrap();
    assert!(!text.contains("service:web") && packet.len() < long.len() - 1000);
    for packet in [packet, long] {
        let read = packet::decode(packet, ExchangeId(0)).unwrap().record;
        assert_eq!(read.content_hash(), bench.local.record().content_hash());
        assert!(!read.labels().map(Label::as_str).any(|label| label.starts_with("service:")));
    }
    let (packets, bench) = told(packet.len() - 20);
    assert!(packets.is_empty(), "half a record would tell of deregistrations");
    assert!(bench.broker.stats.sent_counts().any(|(kind, verdict, _)| (kind, verdict) == (PacketKind::Hi, Verdict::Oversize)));
}
