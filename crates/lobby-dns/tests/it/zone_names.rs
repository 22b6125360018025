//! Names that stand for others, odd names, and what a made-up name costs.

use std::time::Duration;

use lobby_core::{check::Status, external::NodeData, record::meta};
use lobby_dns::{Settings, Truncate};
use nix::time::{ClockId, clock_gettime};

use crate::fleet::{Asked, Fleet, asking, check, instance, read, record};

const NONE: &str = "NXDomain | [SOA consul.]";
const EMPTY: &str = "NoError | [SOA consul.]";

#[test]
fn a_name_that_stands_for_one_of_ours_is_answered_along() {
    let fleet = Fleet::new().node(2, "n2", |local| {
        for (service, address) in [
            ("web", "n2.node.consul"),
            ("far", "web.service.lobby"),
            ("self", "self.service.consul"),
            ("one", "two.service.consul"),
            ("two", "one.service.consul"),
            ("into", "one.service.consul"),
            ("gone", "nobody.service.consul"),
            ("out", "www.example.com"),
        ] {
            local.set_instance(&instance(service, service, address, 80)).unwrap();
        }
    });
    let mut asked = fleet.asked(Settings { ttl: 9, ..Settings::default() });
    asked.check(&[
        ("web.service.consul A", "NoError | A 10.0.0.2 | CNAME n2.node.consul."),
        ("far.service.consul A", "NoError | A 10.0.0.2 | CNAME n2.node.consul. | CNAME web.service.lobby."),
        ("web.service.consul AAAA", "NoError | CNAME n2.node.consul. | [SOA consul.]"),
        ("web.service.consul CNAME", "NoError | CNAME n2.node.consul."),
        ("self.service.consul A", "NoError | CNAME self.service.consul."),
        ("one.service.consul A", "NoError | CNAME one.service.consul. | CNAME two.service.consul."),
        ("into.service.consul A", "NoError | CNAME one.service.consul. | CNAME one.service.consul. | CNAME two.service.consul."),
        ("gone.service.consul A", "NXDomain | CNAME nobody.service.consul. | [SOA consul.]"),
        ("out.service.consul A", "NoError | CNAME www.example.com."),
    ]);
    let answers = asked.ask("FAR.service.consul A").answers;
    let seen: Vec<_> = answers.iter().map(|record| format!("{} {}", record.name, record.ttl)).collect();
    // There is SRV at names that stand for others: nobody is to keep that there is something else.
    assert_eq!(seen, ["FAR.service.consul. 0", "web.service.lobby. 0", "n2.node.consul. 9"]);
}

#[test]
fn addresses_that_are_neither_addresses_nor_hosts_are_told_to_nobody() {
    let fleet = Fleet::new().node(2, "n2", |local| {
        for (id, address) in [("a", "10.0.0.300"), ("b", "10.0.0.1:80"), ("c", "fe80::1%eth0"), ("d", "good.example.com")] {
            local.set_instance(&instance(id, "web", address, 80)).unwrap();
        }
    });
    fleet.asked(Settings::default()).check(&[
        ("web.service.consul SRV", "NoError | SRV 1 1 80 good.example.com."),
        ("web.service.consul A", "NoError | CNAME good.example.com."),
        ("a.web.instance.consul SRV", EMPTY),
        ("a.web.instance.consul A", EMPTY),
    ]);
}

#[test]
fn srv_never_leads_to_a_name_that_stands_for_another() {
    let data = NodeData { address: "host.example.com".into(), ..NodeData::default() };
    let fleet = Fleet::new().external("ext", data, vec![instance("pay", "pay", "", 443)]);
    fleet.asked(Settings::default()).check(&[
        ("pay.service.consul SRV", "NoError | SRV 1 1 443 host.example.com."),
        ("ext.node.consul A", "NoError | CNAME host.example.com."),
    ]);
}

#[test]
fn srv_that_leads_to_a_name_of_ours_brings_its_addresses() {
    let mut fleet = Fleet::new().node(2, "n2", |local| {
        for (service, address) in
            [("web", "N2.node.consul"), ("far", "db.service.lobby"), ("via", "web.service.consul"), ("gone", "n9.node.consul")]
        {
            local.set_instance(&instance(service, service, address, 80)).unwrap();
        }
        local.set_instance(&instance("db", "db", "2001:db8::5", 81)).unwrap();
        local.set_instance(&instance("db2", "db", "10.1.0.5", 82)).unwrap();
    });
    let mut asked = Asked::new(fleet.snapshot(), Settings::default());
    let extras = |asked: &mut Asked, name: &str| {
        let message = asked.ask(&format!("{name}.service.consul SRV"));
        assert_eq!(message.answers.len(), 1);
        message.additionals.iter().map(|extra| format!("{} {}", extra.name, record(extra))).collect::<Vec<_>>()
    };
    assert_eq!(extras(&mut asked, "web"), ["N2.node.consul. A 10.0.0.2"]);
    assert_eq!(extras(&mut asked, "far"), ["db.service.lobby. A 10.1.0.5", "db.service.lobby. AAAA 2001:db8::5"]);
    // A name that stands for another one has no addresses of its own.
    assert!(extras(&mut asked, "via").is_empty() && extras(&mut asked, "gone").is_empty());
    // What it leads to is another service, or a node that was not there.
    let mut fleet = fleet.node(2, "n2", |local| local.set_instance(&instance("db2", "db", "10.1.0.6", 82)).map(|_| ()).unwrap());
    asked.snapshots.send_replace(fleet.snapshot());
    assert_eq!(extras(&mut asked, "far"), ["db.service.lobby. A 10.1.0.6", "db.service.lobby. AAAA 2001:db8::5"]);
    let mut fleet = fleet.node(9, "n9", |_| ());
    asked.snapshots.send_replace(fleet.snapshot());
    assert_eq!(extras(&mut asked, "gone"), ["n9.node.consul. A 10.0.0.9"]);
}

#[test]
fn instances_of_one_address_are_one_address_and_an_srv_for_each_port() {
    let fleet = [2, 3].into_iter().fold(Fleet::new(), |fleet, n| {
        fleet.node(n, &format!("n{n}"), |local| {
            for (id, service, address, port) in [
                ("a", "web", "10.1.0.1".to_owned(), 80 * u16::from(n)),
                ("b", "web", "10.1.0.1".to_owned(), 80 * u16::from(n)),
                ("c", "web", "10.1.0.1".to_owned(), 80 * u16::from(n) + 1),
                ("d", "own", format!("10.0.0.{n}"), 80),
                ("e", "own", String::new(), 81),
            ] {
                local.set_instance(&instance(id, service, &address, port)).unwrap();
            }
        })
    });
    fleet.asked(Settings::default()).check(&[
        ("web.service.consul A", "NoError | A 10.1.0.1"),
        (
            "web.service.consul SRV",
            "NoError | SRV 1 1 160 0a010001.addr.dc1.consul. | SRV 1 1 161 0a010001.addr.dc1.consul. | \
             SRV 1 1 240 0a010001.addr.dc1.consul. | SRV 1 1 241 0a010001.addr.dc1.consul.",
        ),
        // The address of the node is the node, whether it is written or not.
        (
            "own.service.consul SRV",
            "NoError | SRV 1 1 80 n2.node.dc1.consul. | SRV 1 1 80 n3.node.dc1.consul. | SRV 1 1 81 n2.node.dc1.consul. | \
             SRV 1 1 81 n3.node.dc1.consul.",
        ),
        ("own.service.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
    ]);
}

#[test]
fn a_check_of_the_node_and_its_maintenance_count_for_all_its_instances() {
    for (id, status) in
        [("disk", Status::Critical), (lobby_core::port::registry::NODE_MAINTENANCE, Status::Critical), ("disk", Status::Warning)]
    {
        let fleet = [2, 3].into_iter().fold(Fleet::new(), |fleet, n| {
            fleet.node(n, &format!("n{n}"), |local| {
                local.set_instance(&instance("a", "web", "", 80)).unwrap();
                if n == 2 {
                    local.set_check(&check(id, None, status)).unwrap();
                }
            })
        });
        let is_ill = status == Status::Critical;
        fleet.asked(Settings::default()).check(&[
            ("web.service.consul A", if is_ill { "NoError | A 10.0.0.3" } else { "NoError | A 10.0.0.2 | A 10.0.0.3" }),
            // The node is there, whatever its checks say.
            ("n2.node.consul A", "NoError | A 10.0.0.2"),
        ]);
    }
}

#[test]
fn odd_names_of_services() {
    let fleet = Fleet::new().node(2, "n2", |local| {
        local.set_instance(&instance("a", "_lead", "10.1.0.1", 80)).unwrap();
        local.set_instance(&instance("b", "dot.ted", "10.1.0.2", 80)).unwrap();
    });
    fleet.asked(Settings::default()).check(&[
        ("_lead.service.consul A", "NoError | A 10.1.0.1"),
        ("__lead._tcp.service.consul A", "NoError | A 10.1.0.1"),
        ("_tcp.service.consul A", EMPTY),
        ("1.0.1.10.in-addr.arpa PTR", "NoError | PTR _lead.service.lobby."),
        // Its name would be read as a tag and another service.
        ("2.0.1.10.in-addr.arpa PTR", "NXDomain | [SOA 0.1.10.in-addr.arpa.]"),
    ]);
}

#[test]
fn labels_and_instances_are_those_of_the_data_centre_and_of_the_node_itself() {
    let fleet = [(2, "dc1", "a"), (3, "dc2", "b")].into_iter().fold(Fleet::new(), |fleet, (n, dc, own)| {
        fleet.node(n, "twin", |local| {
            local.set_meta(meta::DATACENTER, dc);
            local.set_labels(["rack:1".to_owned(), format!("only:{own}")].map(|label| label.parse().unwrap()));
            local.set_instance(&instance("i", "web", "", 80)).unwrap();
        })
    });
    fleet.asked(Settings::default()).check(&[
        ("rack.1.label.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
        ("rack.1.label.dc2.consul A", "NoError | A 10.0.0.3"),
        ("only.a.label.consul A", "NoError | A 10.0.0.2"),
        ("only.b.label.dc1.consul A", NONE),
        ("i.web.instance.dc1.consul A", "NoError | A 10.0.0.2"),
        ("i.web.instance.dc2.consul A", "NoError | A 10.0.0.3"),
    ]);
}

#[test]
fn what_belongs_to_answers_that_were_cut_is_cut_as_well() {
    let fleet = Fleet::new().node(2, "n2", |local| {
        for n in 0..11 {
            local.set_instance(&instance(&format!("web-{n}"), "web", &format!("10.1.0.{n}"), 80)).unwrap();
        }
    });
    let mut asked = fleet.asked(Settings { truncate: Truncate::Cut, ..Settings::default() });
    let mut all = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let message = read(&asked.bytes(&asking("web.service.consul SRV", None), false));
        let targets: std::collections::BTreeSet<_> = message.answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!((targets.len(), message.additionals.len()), (3, 3));
        for extra in &message.additionals {
            assert!(targets.iter().any(|srv| srv.ends_with(&format!(" {}", extra.name))), "{targets:?} {}", extra.name);
        }
        all.extend(targets);
    }
    assert!(all.len() > 6, "everybody gets another part: {all:?}");
}

/// The time that this thread had a processor: whatever else the machine does is not in it.
fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// 2 000 nodes, 10 000 instances and 20 000 labels: with a look at all of them for each question this takes minutes.
#[test]
fn made_up_names_cost_little_however_large_the_catalog() {
    let mut fleet = Fleet::new();
    for n in 0..2000_u16 {
        let [high, low] = n.to_be_bytes();
        fleet = fleet.many(n, &format!("n{n}.example.com"), |local| {
            local.set_labels((0..10).map(|l| format!("label{l}:{n}.{l}.x").parse().unwrap()));
            local.set_meta(meta::ADDRESSES, &format!("10.0.{high}.{low},2001:db8::{n:x}"));
            for i in 0..5 {
                local.set_instance(&instance(&format!("i{i}"), "web", &format!("10.{}.{high}.{low}", i + 1), 80)).unwrap();
            }
        });
    }
    let mut asked = fleet.asked(Settings::default());
    assert_eq!(asked.short("label3.1999.3.x.label.consul A"), "NoError | A 10.0.7.207");
    assert_eq!(asked.short("3.0.5.10.in-addr.arpa PTR"), "NoError | PTR web.service.lobby.");
    let begin = used();
    for n in 0..2000 {
        for name in [
            format!("x{n}.service.consul A"),
            format!("x{n}.node.consul A"),
            format!("x{n}.y.label.consul A"),
            format!("x.service.x{n}.consul A"),
            format!("{}.{}.9.10.in-addr.arpa PTR", n % 256, n / 256),
        ] {
            asked.ask(&name);
        }
    }
    let passed = used() - begin;
    println!("{passed:?} for 10 000 questions");
    assert!(passed < Duration::from_secs(10), "{passed:?}");
    // One large service in all sizes that have an answer of their own.
    let begin = used();
    for (size, kind) in (0..11).map(|n| 512 + 64 * n).flat_map(|size| [(size, "A"), (size, "SRV"), (size, "MX")]) {
        assert!(read(&asked.bytes(&asking(&format!("web.service.dc1.consul {kind}"), Some(size)), false)).answers.len() < 80);
    }
    let passed = (used() - begin) / 33;
    println!("{passed:?} for one about 10 000 instances");
    assert!(passed < Duration::from_millis(100), "{passed:?}");
}
