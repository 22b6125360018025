//! Seeds against the system's resolver, and against a name server that the test is.

use hickory_resolver::proto::rr::{RData, rdata::SRV};
use tokio::net::UdpSocket;

use super::{name_server::NameServer, *};

const SOON: Duration = Duration::from_secs(5);

async fn ask(server: &NameServer, seed: &str) -> Result<Vec<String>, String> {
    let addrs = look_up(seed, &NameServers { instead: vec![server.addr] }, SOON).await?;
    Ok(addrs.iter().map(ToString::to_string).collect())
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, target.parse().unwrap()))
}

fn ip(text: &str) -> RData {
    RData::from(text.parse::<IpAddr>().unwrap())
}

#[tokio::test]
async fn an_srv_name_stands_for_all_its_targets_best_first() {
    let server = NameServer::start().await;
    server.tells(&[
        ("_lobby._tcp.example.com.", srv(20, 0, 13, "c.example.com.")),
        ("_lobby._tcp.example.com.", srv(10, 1, 12, "b.example.com.")),
        ("_lobby._tcp.example.com.", srv(10, 9, 11, "a.example.com.")),
        ("_lobby._tcp.example.com.", srv(5, 0, 10, "has-no-address.example.com.")),
        ("a.example.com.", ip("10.0.0.1")),
        ("b.example.com.", ip("2001:db8::2")),
        ("c.example.com.", ip("10.0.0.3")),
        ("c.example.com.", ip("10.0.0.4")),
    ]);
    let found = ask(&server, "_lobby._tcp.example.com").await.unwrap();
    assert_eq!(found[..2], ["10.0.0.1:11", "[2001:db8::2]:12"]);
    let mut last = found[2..].to_vec();
    last.sort();
    assert_eq!(last, ["10.0.0.3:13", "10.0.0.4:13"]);
}

#[tokio::test]
async fn an_srv_name_is_looked_up_anew_each_time() {
    let server = NameServer::start().await;
    let seed = "_lobby._udp.example.com";
    assert!(ask(&server, seed).await.is_err(), "no such name yet");
    for (port, address) in [(1, "10.0.0.1"), (2, "10.0.0.2")] {
        server.tells(&[("_lobby._udp.example.com.", srv(0, 0, port, "a.example.com.")), ("a.example.com.", ip(address))]);
        assert_eq!(ask(&server, seed).await.unwrap(), [format!("{address}:{port}")]);
    }
}

#[tokio::test]
async fn an_srv_name_without_a_usable_target_tells_why() {
    let server = NameServer::start().await;
    server.tells(&[("_lobby._tcp.example.com.", srv(0, 0, 0, "."))]);
    assert_eq!(ask(&server, "_lobby._tcp.example.com").await.unwrap_err(), "the name has no address");
    server.tells(&[("_lobby._tcp.example.com.", srv(0, 0, 7, "nowhere.example.com."))]);
    assert!(ask(&server, "_lobby._tcp.example.com").await.unwrap_err().contains("nowhere.example.com"));
    assert!(ask(&server, "_lobby._tcp.example.com:1314").await.is_err(), "the port comes from the record");
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_server_costs_the_time_that_was_given() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = NameServers { instead: vec![silent.local_addr().unwrap()] };
    let why = look_up("_lobby._tcp.example.com", &servers, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(why, "no name server has answered within 1 s");
}

#[tokio::test]
async fn a_seed_that_does_not_resolve_leaves_the_others() {
    let server = NameServer::start().await;
    let resolve = async |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        resolve(names, &NameServers { instead: vec![server.addr] }, SOON).await
    };
    let local = SocketAddr::from(([127, 0, 0, 1], 7));
    let partly = resolve(&["no such host", "127.0.0.1:7", "_no._tcp.example.com"]).await;
    assert_eq!((partly.addrs, partly.all), (vec![local], false));
    let wholly = resolve(&["127.0.0.1:7"]).await;
    assert_eq!((wholly.addrs, wholly.all), (vec![local], true));
}

#[test]
fn a_missing_port_is_1314() {
    const CASES: &[(&str, &str)] = &[
        ("seed.example.com", "seed.example.com:1314"),
        ("seed.example.com:7", "seed.example.com:7"),
        ("10.0.0.1", "10.0.0.1:1314"),
        ("10.0.0.1:9", "10.0.0.1:9"),
        ("2001:db8::1", "[2001:db8::1]:1314"),
        ("[2001:db8::1]:9", "[2001:db8::1]:9"),
        ("[2001:db8::1]", "[2001:db8::1]:1314"),
    ];
    for (seed, want) in CASES {
        assert_eq!(with_port(seed), *want);
    }
}
