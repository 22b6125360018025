//! Names of a real dnsmasq on loopback.

use std::net::SocketAddr;

use lobby_proxy::{
    Backend,
    settings::{Discovery, DnsWatch},
};
use lobby_testkit::server::dnsmasq;

use super::{EVERY, complains, run, shows};
use crate::fetch::Plain;

fn names(nameserver: SocketAddr, names: &[&str]) -> Discovery {
    let server = |name: &&str| Backend { name: format!("n-{name}"), host: (*name).into(), port: 80, ..Backend::default() };
    Discovery::Dns(DnsWatch { servers: names.iter().map(server).collect(), nameserver: Some(nameserver), interval: EVERY })
}

#[tokio::test]
async fn addresses_of_both_families_follow_the_server_and_stay_while_it_is_away() {
    let mut server =
        dnsmasq::start("10.1.0.2 web.lobby.test\n10.1.0.1 web.lobby.test\nfd00::1 web.lobby.test\n10.1.0.9 other.lobby.test\n");
    let discoveries = vec![
        names(server.address, &["web.lobby.test"]),
        names(server.address, &["none.lobby.test"]),
        names(server.address, &["web.lobby.test", "192.0.2.7", "other.lobby.test"]),
    ];
    let (picture, _watching) = run(discoveries, Plain::default(), &[]);
    let web = ["n-web.lobby.test 10.1.0.1:80", "n-web.lobby.test 10.1.0.2:80", "n-web.lobby.test fd00::1:80"];
    shows(&picture, 0, &web).await;
    // There is no such name: that is an answer.
    shows(&picture, 1, &[]).await;
    shows(&picture, 2, &[&["n-192.0.2.7 192.0.2.7:80", "n-other.lobby.test 10.1.0.9:80"][..], &web].concat()).await;
    server.kill();
    complains(&picture, 0, "web.lobby.test").await;
    complains(&picture, 1, "none.lobby.test").await;
    shows(&picture, 0, &web).await;
    shows(&picture, 1, &[]).await;
    dnsmasq::write(&server, "10.1.0.3 web.lobby.test\n10.1.0.4 none.lobby.test\n");
    server.restart();
    shows(&picture, 0, &["n-web.lobby.test 10.1.0.3:80"]).await;
    shows(&picture, 1, &["n-none.lobby.test 10.1.0.4:80"]).await;
    assert_eq!(picture.borrow()[0].trouble, None);
}

#[tokio::test]
async fn a_server_that_never_answered_leaves_its_service_unknown() {
    let nobody = lobby_testkit::port::free_address();
    let (picture, _watching) = run(vec![names(nobody, &["web.lobby.test"])], Plain::default(), &[]);
    complains(&picture, 0, "web.lobby.test").await;
    assert_eq!(super::shown(&picture, 0), None);
}
