//! Answers that are too large: what is told, what is left out, and that everybody has a turn.

use std::collections::{BTreeMap, BTreeSet};

use lobby_dns::{Event, Settings, Truncate};

use crate::fleet::{Asked, Fleet, asking, instance, read};

/// So many instances of `web` on one node.
fn fleet(n_instances: u16) -> Fleet {
    Fleet::new().node(2, "n2", |local| {
        for n in 0..n_instances {
            let [high, low] = n.to_be_bytes();
            let it = instance(&format!("web-{n}"), "web", &format!("10.1.{high}.{low}"), 1000 + n);
            local.set_instance(&it).unwrap();
        }
    })
}

fn asked(n_instances: u16, truncate: Truncate) -> Asked {
    fleet(n_instances).asked(Settings { truncate, ..Settings::default() })
}

#[test]
fn a_thousand_instances_over_udp_edns_and_tcp() {
    let mut asked = asked(1000, Truncate::Tell);
    for (kind, edns, most, least) in
        [("A", None, 512, 29), ("A", Some(1232), 1232, 70), ("SRV", None, 512, 8), ("SRV", Some(4096), 1232, 20)]
    {
        let bytes = asked.bytes(&asking(&format!("web.service.consul {kind}"), edns), false);
        let message = read(&bytes);
        assert!(bytes.len() <= most && message.metadata.truncation, "{kind} {edns:?}");
        assert!(message.answers.len() >= least, "{kind} {edns:?}: {}", message.answers.len());
        assert!(message.additionals.is_empty(), "extras go first");
    }
    let bytes = asked.bytes(&asking("web.service.consul A", None), true);
    let message = read(&bytes);
    assert!(!message.metadata.truncation && bytes.len() < 16_100, "each has two bytes for its name: {}", bytes.len());
    let distinct: BTreeSet<_> = message.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(distinct.len(), 1000);
    // All targets, and as many of their addresses as there is room for.
    let bytes = asked.bytes(&asking("web.service.consul SRV", None), true);
    let message = read(&bytes);
    assert_eq!((message.answers.len(), message.metadata.truncation), (1000, false));
    assert!(bytes.len() > 60_000 && message.additionals.len() > 200, "{} {}", bytes.len(), message.additionals.len());
    assert_eq!(asked.shared.counters.of(Event::Truncated), 4);
}

#[test]
fn what_fits_exactly_is_not_truncated() {
    // Header, question, and 16 bytes for each answer.
    let n_fit = (512 - 12 - 24) / 16;
    for (n, truncated) in [(n_fit, false), (n_fit + 1, true)] {
        let mut asked = asked(n, Truncate::Tell);
        let message = read(&asked.bytes(&asking("web.service.consul A", None), false));
        assert_eq!((message.answers.len(), message.metadata.truncation), (usize::from(n_fit), truncated));
    }
}

#[test]
fn consuls_way_is_to_cut_and_say_nothing() {
    let mut asked = asked(100, Truncate::Cut);
    let mut count = |kind: &str, edns, stream| {
        let message = read(&asked.bytes(&asking(&format!("web.service.consul {kind}"), edns), stream));
        assert!(!message.metadata.truncation);
        message.answers.len()
    };
    assert_eq!((count("A", None, false), count("SRV", None, false), count("A", None, true)), (3, 3, 100));
    assert!(count("A", Some(1232), false) > 70);
    assert_eq!(asked.shared.counters.of(Event::Truncated), 0);
    assert_eq!(asked.shared.counters.of(Event::Cut), 3);
}

#[test]
fn additional_records_are_dropped_before_answers_and_nobody_is_told() {
    let mut asked = asked(9, Truncate::Tell);
    let message = read(&asked.bytes(&asking("web.service.consul SRV", None), false));
    assert_eq!((message.answers.len(), message.metadata.truncation), (9, false));
    assert!(message.additionals.len() < 9, "{}", message.additionals.len());
    let message = read(&asked.bytes(&asking("web.service.consul SRV", Some(1232)), false));
    assert_eq!((message.answers.len(), message.additionals.len()), (9, 9));
}

#[test]
fn everybody_comes_first_in_turn() {
    let mut asked = asked(5, Truncate::Tell);
    let mut firsts = BTreeMap::new();
    for _ in 0..100 {
        let first = asked.ask("web.service.consul A").answers[0].data.to_string();
        *firsts.entry(first).or_insert(0) += 1;
    }
    assert_eq!(firsts.values().copied().collect::<Vec<_>>(), [20; 5], "{firsts:?}");
}

#[test]
fn who_asks_in_pairs_gets_everybody_first_in_turn_as_well() {
    let mut asked = asked(2, Truncate::Tell);
    let mut firsts = BTreeMap::new();
    for _ in 0..20 {
        // As the resolver of glibc does it.
        let first = asked.ask("web.service.consul A").answers[0].data.to_string();
        asked.ask("web.service.consul AAAA");
        *firsts.entry(first).or_insert(0) += 1;
    }
    assert_eq!(firsts.values().copied().collect::<Vec<_>>(), [10; 2], "{firsts:?}");
}

#[test]
fn many_answers_turn_over_a_stream_as_well() {
    let mut asked = asked(1500, Truncate::Tell);
    let mut first = || read(&asked.bytes(&asking("web.service.consul A", None), true)).answers[0].data.to_string();
    assert!(first() != first());
}

#[test]
fn so_many_srv_that_pointers_cannot_move_have_another_order_as_well() {
    let mut asked = asked(1000, Truncate::Tell);
    let request = asking("web.service.consul SRV", None);
    let firsts: BTreeSet<_> = (0..170).map(|_| read(&asked.bytes(&request, true)).answers[0].data.to_string()).collect();
    assert!(firsts.len() > 5, "{firsts:?}");
    assert!(asked.shared.counters.of(Event::Hit) > 150, "not each is made anew");
}

#[test]
fn what_does_not_fit_into_a_stream_is_dropped_and_counted() {
    let mut asked = asked(5000, Truncate::Tell);
    let mut seen = BTreeSet::new();
    for n in 1..=20 {
        let bytes = asked.bytes(&asking("web.service.consul A", None), true);
        let message = read(&bytes);
        assert!(bytes.len() <= 65_535 && !message.metadata.truncation, "there is nowhere else to ask");
        assert_eq!(message.answers.len(), (65_535 - 12 - 24) / 16);
        seen.extend(message.answers.iter().map(|record| record.data.to_string()));
        assert_eq!(asked.shared.counters.of(Event::Cut), n);
    }
    assert!(seen.len() > 4500, "others come the next time: {}", seen.len());
}

#[test]
fn everybody_is_among_the_few_that_fit() {
    for truncate in [Truncate::Tell, Truncate::Cut] {
        let mut asked = asked(60, truncate);
        let mut seen = BTreeSet::new();
        for _ in 0..3000 {
            let message = read(&asked.bytes(&asking("web.service.consul A", None), false));
            seen.extend(message.answers.iter().map(|record| record.data.to_string()));
        }
        assert_eq!(seen.len(), 60, "{truncate:?}");
    }
}

#[test]
fn no_more_addresses_than_the_limit_are_told_and_everybody_is_among_them() {
    let fleet = fleet(12).node(3, "n3", |local| {
        local.set_instance(&instance("alias", "alias", "web.service.consul", 80)).unwrap();
    });
    let mut asked = fleet.asked(Settings { a_record_limit: 3, ..Settings::default() });
    let mut told = |question: &str, edns, stream| {
        let message = read(&asked.bytes(&asking(question, edns), stream));
        assert!(!message.metadata.truncation, "who asks over TCP is told no more");
        (message.answers, message.additionals.iter().filter(|extra| extra.record_type().to_string() == "A").count())
    };
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        for (edns, stream) in [(None, false), (Some(1232), false), (None, true)] {
            let (answers, _) = told("web.service.consul A", edns, stream);
            assert_eq!(answers.len(), 3, "{edns:?} {stream}");
            seen.extend(answers.iter().map(|record| record.data.to_string()));
        }
    }
    assert_eq!(seen.len(), 12);
    // A name that stands for others is no address, nor is it limited what belongs to an answer.
    for (question, n_answers, n_extras) in [
        ("web.service.consul ANY", 3, 0),
        ("alias.service.consul A", 4, 0),
        ("web.service.consul SRV", 12, 12),
        ("alias.service.consul SRV", 1, 12),
        ("n2.node.consul A", 1, 0),
    ] {
        let (answers, n_addresses) = told(question, None, true);
        assert_eq!((answers.len(), n_addresses), (n_answers, n_extras), "{question}");
    }
    assert!(asked.shared.counters.of(Event::Hit) > 1000, "not each is made anew");
}

#[test]
fn of_several_names_for_a_service_each_is_told_in_turn() {
    let fleet = Fleet::new().node(2, "n2", |local| {
        for n in 0..4 {
            local.set_instance(&instance(&format!("i{n}"), "web", &format!("h{n}.example.com"), 80)).unwrap();
        }
    });
    let mut asked = fleet.asked(Settings::default());
    let mut seen = BTreeSet::new();
    for _ in 0..2000 {
        let answers = asked.ask("web.service.consul A").answers;
        assert_eq!(answers.len(), 1, "a name has one other name only");
        seen.insert(answers[0].data.to_string());
    }
    assert_eq!(seen.len(), 4);
}
