//! Answers that are kept: for whom, and until when.

use std::{sync::Arc, time::Duration};

use lobby_core::{record::meta, time::Now};
use lobby_dns::{Event, Responder, Settings};

use crate::fleet::{Asked, CLIENT, Fleet, NOW, asking, instance, read, short};

fn fleet() -> Fleet {
    Fleet::new().node(2, "n2", |local| {
        local.set_instance(&instance("web", "web", "10.1.0.1", 80)).unwrap();
        local.set_instance(&instance("db", "db", "", 80)).unwrap();
    })
}

fn counts(asked: &Asked) -> (u64, u64) {
    (asked.shared.counters.of(Event::Hit), asked.shared.counters.of(Event::Made))
}

#[test]
fn a_change_of_one_service_drops_the_answers_about_that_one() {
    let mut fleet = fleet();
    let mut asked = Asked::new(fleet.snapshot(), Settings::default());
    let all = ["web.service.consul A", "db.service.consul A", "no.service.consul A"];
    for question in all.into_iter().chain(all) {
        asked.ask(question);
    }
    assert_eq!(counts(&asked), (3, 3));
    let mut fleet = fleet.node(2, "n2", |local| {
        local.set_instance(&instance("web", "web", "10.1.0.2", 80)).unwrap();
    });
    asked.snapshots.send_replace(fleet.snapshot());
    all.iter().for_each(|question| _ = asked.ask(question));
    assert_eq!(counts(&asked), (5, 4), "only web was made anew");
    assert_eq!(asked.short(all[0]), "NoError | A 10.1.0.2");
    let mut fleet = fleet.node(3, "n3", |local| {
        local.set_instance(&instance("no", "no", "", 80)).unwrap();
    });
    asked.snapshots.send_replace(fleet.snapshot());
    assert_eq!(asked.short(all[2]), "NoError | A 10.0.0.3");
    // A node's address is that of its instances.
    let mut fleet = fleet.node(2, "n2", |local| local.set_meta(meta::ADDRESSES, "10.0.0.9"));
    asked.snapshots.send_replace(fleet.snapshot());
    assert_eq!(asked.short(all[1]), "NoError | A 10.0.0.9");
    let mut fleet = fleet.failed(3);
    asked.snapshots.send_replace(fleet.snapshot());
    assert_eq!(asked.short(all[2]), "NXDomain | [SOA consul.]");
}

#[test]
fn an_answer_has_the_id_and_the_spelling_of_its_question() {
    let mut asked = fleet().asked(Settings::default());
    for (name, id, recursion) in
        [("web.service.consul", 1, true), ("wEb.SERVICE.conSUL", 0xffff, false), ("WEB.service.consul", 7, true)]
    {
        let mut request = asking(&format!("{name} SRV"), Some(1232));
        request[..2].copy_from_slice(&u16::to_be_bytes(id));
        request[2] = u8::from(recursion);
        let message = read(&asked.bytes(&request, false));
        assert_eq!((message.metadata.id, message.metadata.recursion_desired), (id, recursion));
        assert_eq!(message.queries[0].name().to_ascii(), format!("{name}."));
        assert_eq!(message.answers[0].name.to_ascii(), format!("{name}."));
    }
    assert_eq!(counts(&asked), (2, 1));
}

#[test]
fn who_speaks_edns_is_answered_so_and_others_are_not() {
    let mut asked = fleet().asked(Settings::default());
    for (edns, stream) in
        [(None, false), (Some(512), false), (Some(0), false), (Some(4096), false), (None, true), (Some(512), true)]
    {
        for _ in 0..2 {
            let message = read(&asked.bytes(&asking("web.service.consul A", edns), stream));
            assert_eq!(message.edns.as_ref().map(|edns| (edns.max_payload(), edns.version())), edns.map(|_| (1232, 0)));
            assert_eq!(short(&message), "NoError | A 10.1.0.1");
        }
    }
    let mut request = asking("web.service.consul A", Some(1232));
    let flags = request.len() - 4;
    request[flags] |= 0x80;
    let message = read(&asked.bytes(&request, false));
    assert!(message.edns.unwrap().flags().dnssec_ok, "told back");
    assert!(!asked.ask("web.service.consul A").edns.unwrap().flags().dnssec_ok, "and to nobody else");
}

#[test]
fn the_number_of_the_zone_goes_on() {
    let mut asked = fleet().asked(Settings::default());
    let first = asked.short("consul SOA");
    let later = NOW.moment + Duration::from_secs(6);
    *asked.clock.lock().unwrap() = Now { moment: later, wall: lobby_core::time::WallSecond(NOW.wall.0 + 6) };
    assert_ne!(asked.short("consul SOA"), first);
}

#[test]
fn made_up_names_do_not_fill_memory_nor_drive_others_out() {
    let mut asked = fleet().asked(Settings::default());
    let mut made = 0;
    for n in 0..20_000 {
        asked.ask(&format!("x{n}.service.consul A"));
        made += 1;
        if n % 100 == 0 {
            asked.ask("web.service.consul A");
        }
    }
    let (hits, all_made) = counts(&asked);
    assert!(hits >= 195, "{hits}");
    assert!(all_made <= made + 5);
}

#[test]
fn a_flood_of_nothing_drives_out_no_answer_that_is_there() {
    let mut asked = fleet().asked(Settings::default());
    asked.ask("web.service.consul A");
    let forms: [fn(u32) -> String; 8] = [
        |n| format!("x{n}.service.consul A"),
        |n| format!("x{n}.web.service.consul A"),
        |n| format!("x{n}.node.consul A"),
        |n| format!("x{n}.y.label.consul A"),
        |n| format!("web.service.x{n}.consul A"),
        |n| format!("{n:08x}.addr.consul A"),
        |n| format!("x{n}.web.instance.consul A"),
        |n| format!("{}.{}.9.10.in-addr.arpa PTR", n % 256, n / 256),
    ];
    for form in forms {
        // More than each cache keeps in both of its halves.
        (0..5000).for_each(|n| _ = asked.ask(&form(n)));
        let (hits, _) = counts(&asked);
        asked.ask("web.service.consul A");
        assert_eq!(counts(&asked).0, hits + 1, "{}", form(1));
    }
    let mut request = asking("web.service.consul A", Some(1232));
    for kind in 1000..6000_u16 {
        request[32..34].copy_from_slice(&kind.to_be_bytes());
        assert!(read(&asked.bytes(&request, false)).answers.is_empty());
    }
    let (hits, _) = counts(&asked);
    asked.ask("web.service.consul A");
    assert_eq!(counts(&asked).0, hits + 1, "types that are not there");
}

#[test]
fn networks_above_their_rate_are_sent_to_tcp() {
    let asked = fleet().asked(Settings { rate: 10, ..Settings::default() });
    let mut responder = Responder::new(asked.shared.clone());
    let request = asking("web.service.consul A", Some(1232));
    let mut out = Vec::new();
    let mut got = [0, 0, 0];
    for _ in 0..30 {
        out.clear();
        match responder.datagram(&request, CLIENT, &mut out) {
            lobby_dns::Action::Nothing => got[2] += 1,
            _ => {
                let message = read(&out);
                assert_eq!((message.metadata.id, message.queries.len()), (0x1234, 1));
                got[usize::from(message.metadata.truncation && message.answers.is_empty())] += 1;
            }
        }
    }
    assert_eq!(got, [10, 10, 10]);
    assert!(out.len() <= request.len() + 100);
    let shared = Arc::clone(&asked.shared.counters);
    assert_eq!((shared.of(Event::LimitedAgain), shared.of(Event::LimitedDrop)), (10, 10));
}
