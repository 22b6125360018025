//! While we do not know better: what is known is told, what is not known is SERVFAIL, never "there is no such name".

use lobby_core::{check::Status, port::PeerEvent};
use lobby_dns::Settings;

use crate::fleet::{Asked, Fleet, asking, check, instance, member, read};

fn fleet(fleet: Fleet) -> Fleet {
    (2..=7).fold(fleet, |fleet, n| {
        fleet.node(n, &format!("n{n}"), |local| {
            local.set_instance(&instance("web", "web", "", 80)).unwrap();
            local.set_labels([format!("rack:{n}"), "all:x".into()].map(|label| label.parse().unwrap()));
            if n == 7 {
                local.set_check(&check("c", Some("web"), Status::Critical)).unwrap();
            }
        })
    })
}

#[test]
fn what_is_not_known_yet_is_not_said_to_be_nowhere() {
    let mut asked = fleet(Fleet::cold()).asked(Settings::default());
    asked.check(&[
        ("web.service.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3 | A 10.0.0.4 | A 10.0.0.5 | A 10.0.0.6"),
        ("db.service.consul A", "ServFail not ours"),
        ("n9.node.consul A", "ServFail not ours"),
        ("rack.9.label.consul A", "ServFail not ours"),
        ("x.web.instance.consul A", "ServFail not ours"),
        ("v1.web.service.consul A", "ServFail not ours"),
        ("9.9.9.10.in-addr.arpa PTR", "ServFail not ours"),
        // The name is there, and nobody learns anything that changes that.
        ("web.service.consul AAAA", "NoError | [SOA consul.]"),
        ("web.query.consul A", "NXDomain | [SOA consul.]"),
    ]);
}

#[test]
fn others_are_not_asked_about_networks_that_only_we_know() {
    let mut asked = fleet(Fleet::cold()).asked(Settings { forwards: true, ..Settings::default() });
    asked.check(&[
        ("9.9.9.10.in-addr.arpa PTR", "ServFail not ours"),
        ("9.10.in-addr.arpa PTR", "ServFail not ours"),
        ("9.9.64.100.in-addr.arpa PTR", "ServFail not ours"),
        ("9.9.127.100.in-addr.arpa PTR", "ServFail not ours"),
        // Whoever asks label by label passes through these.
        ("172.in-addr.arpa PTR", "ServFail not ours"),
        ("192.in-addr.arpa PTR", "ServFail not ours"),
        ("100.in-addr.arpa PTR", "ServFail not ours"),
        ("31.172.in-addr.arpa PTR", "ServFail not ours"),
        ("c.f.ip6.arpa PTR", "ServFail not ours"),
        ("f.ip6.arpa PTR", "ServFail not ours"),
        ("2.0.0.10.in-addr.arpa PTR", "NoError | PTR n2.node.dc1.lobby."),
    ]);
    let mut out = Vec::new();
    for name in ["9.9.9.9", "9", "9.9.128.100", "9.9.63.100", "32.172", "169.192"].map(|name| format!("{name}.in-addr.arpa PTR"))
    {
        let action = asked.responder.stream(&asking(&name, None), crate::fleet::CLIENT, &mut out);
        assert_eq!(action, lobby_dns::Action::Forward, "{name}");
    }
    for name in ["in-addr.arpa PTR", "ip6.arpa PTR", "2.ip6.arpa PTR"] {
        let action = asked.responder.stream(&asking(name, None), crate::fleet::CLIENT, &mut out);
        assert_eq!(action == lobby_dns::Action::Forward, name != "2.ip6.arpa PTR", "{name}");
    }
}

#[test]
fn being_warm_ends_the_doubt_although_no_list_changes() {
    let mut fleet = fleet(Fleet::cold());
    let mut asked = Asked::new(fleet.snapshot(), Settings::default());
    asked.check(&[("db.service.consul A", "ServFail not ours")]);
    let before = asked.shared.reader.snapshot().revision;
    let mut fleet = fleet.event(PeerEvent::Link(lobby_core::port::LinkState::Up)).event(PeerEvent::Warm);
    asked.snapshots.send_replace(fleet.snapshot());
    assert_eq!(asked.shared.reader.snapshot().revision, before);
    asked.check(&[("db.service.consul A", "NXDomain | [SOA consul.]")]);
}

#[test]
fn held_nodes_are_told_as_before_and_failed_ones_not() {
    // One of six failed: that is believed.
    let mut asked = fleet(Fleet::new()).failed(2).asked(Settings::default());
    asked.check(&[
        ("web.service.consul A", "NoError | A 10.0.0.3 | A 10.0.0.4 | A 10.0.0.5 | A 10.0.0.6"),
        ("n2.node.consul A", "NXDomain | [SOA consul.]"),
        ("2.0.0.10.in-addr.arpa PTR", "NXDomain | [SOA 0.0.10.in-addr.arpa.]"),
        ("db.service.consul A", "NXDomain | [SOA consul.]"),
    ]);
    // Five of six: it is rather we who are cut off. Who was ill before stays so.
    let held = (2..=6).fold(fleet(Fleet::new()), Fleet::failed);
    held.asked(Settings::default()).check(&[
        ("web.service.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3 | A 10.0.0.4 | A 10.0.0.5 | A 10.0.0.6"),
        ("n2.node.consul A", "NoError | A 10.0.0.2"),
        ("rack.2.label.consul A", "NoError | A 10.0.0.2"),
        ("all.x.label.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3 | A 10.0.0.4 | A 10.0.0.5 | A 10.0.0.6 | A 10.0.0.7"),
        ("rack.9.label.consul A", "ServFail not ours"),
        ("2.0.0.10.in-addr.arpa PTR", "NoError | PTR n2.node.dc1.lobby."),
        ("db.service.consul A", "ServFail not ours"),
    ]);
}

#[test]
fn what_is_told_in_doubt_is_not_kept_for_long() {
    let settings = || Settings { ttl: 30, negative_ttl: 20, ..Settings::default() };
    for (fleet, want) in [(fleet(Fleet::cold()), [1, 0, 0]), (fleet(Fleet::new()), [30, 20, 20])] {
        let mut asked = fleet.asked(settings());
        let ttl = asked.ask("web.service.consul A").answers[0].ttl;
        let nothing = asked.ask("web.service.consul AAAA");
        let minimum = nothing.authorities[0].data.to_string().rsplit(' ').next().unwrap().parse::<u32>().unwrap();
        assert_eq!([ttl, nothing.authorities[0].ttl, minimum], want);
    }
}

#[test]
fn the_nearest_to_the_asker_come_first_and_stay_there() {
    for a_record_limit in [0, 2] {
        are_nearest(fleet(Fleet::new()).asked(Settings { near: true, a_record_limit, ..Settings::default() }));
    }
}

#[track_caller]
fn are_nearest(mut asked: Asked) {
    let limit = asked.shared.settings.a_record_limit;
    let east = |n: u8| [0.0, 0.0, 0.05, 0.02, 0.09, 0.01][usize::from(n)];
    asked.shared.distances.set(&(1..=5).map(|n| member(n, [10, 0, 0, n].into(), east(n))).collect::<Vec<_>>());
    let from_here = ["10.0.0.5", "10.0.0.3", "10.0.0.2", "10.0.0.4", "10.0.0.6"];
    let from_four = ["10.0.0.4", "10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"];
    for _ in 0..10 {
        // Each is told what is near to it, although all ask the same.
        for (asker, want) in [("192.0.2.7", from_here), ("10.0.0.4", from_four), ("127.0.0.1", from_here)] {
            let mut out = Vec::new();
            asked.responder.datagram(&asking("web.service.consul A", None), asker.parse().unwrap(), &mut out);
            let order: Vec<_> = read(&out).answers.iter().map(|record| record.data.to_string()).collect();
            let want = if limit == 0 { &want[..] } else { &want[..limit as usize] };
            assert_eq!(order, want, "{asker}");
        }
    }
}
