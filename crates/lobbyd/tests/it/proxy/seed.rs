//! The seed's Synapse file with all that stood around it: moto's EC2, both versions of each instance, and the container of
//! HAProxy with its statistics page. In a network of its own, where the addresses of EC2 and the ports of the file are free,
//! so that neither is replaced.
//!
//! Not here: what the file makes lobbyd write, and when (`synapse`).

use std::{collections::BTreeSet, net::SocketAddr};

use lobby_testkit::{
    eventually,
    haproxy::Leftovers,
    http,
    netns::Netns,
    process::{Process, find},
    server::moto::{self, Instance},
};

use super::{container::FOLLOWER, program::Program, synapse::Place};
use crate::fleet::SOON;

/// As in the file, on any address.
const SERVICE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50003);
const STATISTICS: SocketAddr = SocketAddr::new(SERVICE.ip(), 1937);

/// Two versions of each instance.
const BLUE: u16 = 50001;
const GREEN: u16 = 50002;

/// An instance whose address is there, and a version of its service.
fn version(inside: &Netns, instance: &Instance, name: &str, port: u16) -> Program {
    let address = SocketAddr::new(instance.address.parse().unwrap(), port);
    Program::start_by(inside.command(&find("python3")), name, address)
}

fn launch(place: &Place, inside: &Netns) -> Instance {
    let instance = moto::launch(&place.moto, "servicename", "true");
    inside.run("ip", &["address", "add", &format!("{}/32", instance.address), "dev", "lo"]);
    instance
}

#[test]
fn the_published_file_serves_its_instances_and_the_statistics_page() {
    let (place, inside) = (Place::new(), Netns::new());
    let [one, two] = [(); 2].map(|()| launch(&place, &inside));
    let blue = [version(&inside, &one, "blue-1", BLUE), version(&inside, &two, "blue-2", BLUE)];
    let _green = [version(&inside, &one, "green-1", GREEN), version(&inside, &two, "green-2", GREEN)];
    place.write(&place.text());
    let _leftovers = Leftovers::of(place.folder.path());
    let mut container = inside.command(&find("python3"));
    container.args(["-c", FOLLOWER]).arg(place.folder.path()).arg(find("haproxy"));
    let container = Process::start("container", container);
    container.wait_for_log(SOON, "follows");
    let synapse = place.start();
    let answered_by = |what: &str, n: usize| {
        eventually(SOON, || {
            let get = |_| http::get(SERVICE, "/").map_or_else(|err| err.to_string(), |answer| answer.text());
            let seen: BTreeSet<String> = inside.within(|| (0..8).map(get).collect());
            let is_it = seen.len() == n && seen.iter().all(|name| name.starts_with(what));
            if is_it { Ok(seen) } else { Err((seen, container.log(), synapse.log())) }
        })
    };
    answered_by("blue-", 2);
    let page = || inside.within(|| http::get(STATISTICS, "/")).unwrap();
    let shown = page();
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("text/html")), "{}", shown.text());
    for part in ["<title>Statistics Report for HAProxy", "\"myservice/Backend\"", &one.address, &two.address] {
        assert!(shown.text().contains(part), "{part}: {}", shown.text());
    }
    // The versions of before end: a backup takes over (one, as HAProxy has it without `option allbackups`).
    drop(blue);
    let by_one = answered_by("green-", 1).contains("green-1");
    let (gone, name) = if by_one { (&one, "green-2") } else { (&two, "green-1") };
    moto::terminate(&place.moto, gone);
    answered_by(name, 1);
    let shown = page();
    assert!(shown.status == 200 && !shown.text().contains(&gone.address), "{}", shown.text());
    assert!(!container.log().contains("torn"), "{}", container.log());
}
