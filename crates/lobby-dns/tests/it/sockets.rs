//! Real sockets: both protocols, many questions on one connection, and their bounds.

use std::{
    future::ready,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use lobby_core::port::gossip::{EventLog, GossipCommand, GossipHandle, View};
use lobby_dns::{Event, Limits, Resolvers, Server, Settings, Shared, Sockets};
use lobby_testkit::eventually_async;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::{mpsc, watch},
    time::timeout,
};

use crate::fleet::{Fleet, asking, instance, member, read, short};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any test takes, however long it is kept from going on.
const NEVER: Duration = Duration::from_secs(3600);

pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) shared: Shared,
    pub(crate) addr: SocketAddr,
    /// Else the catalog ends.
    _asked: crate::fleet::Asked,
}

pub(crate) fn serve(settings: Settings, limits: Limits, resolvers: Option<Resolvers>) -> Running {
    let fleet = Fleet::new().node(2, "n2", |local| {
        for n in 0..100 {
            local.set_instance(&instance(&format!("i{n}"), "web", &format!("10.1.0.{n}"), 80)).unwrap();
        }
        local.set_instance(&instance("db", "db", "", 80)).unwrap();
    });
    let asked = fleet.asked(settings);
    let sockets = Sockets::bind((Ipv4Addr::LOCALHOST, 0).into(), 2).unwrap();
    let shared = asked.shared.clone();
    let server = Server::start(sockets, &shared, limits, resolvers, GossipHandle::none()).unwrap();
    Running { addr: server.addr(), server, shared, _asked: asked }
}

pub(crate) async fn over_udp(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(addr).await.unwrap();
    socket.send(request).await.unwrap();
    let mut answer = vec![0; 65_536];
    let len = timeout(PATIENCE, socket.recv(&mut answer)).await.unwrap().unwrap();
    answer.truncate(len);
    answer
}

pub(crate) async fn send(stream: &mut TcpStream, request: &[u8]) {
    stream.write_u16(u16::try_from(request.len()).unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
}

pub(crate) async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let len = timeout(PATIENCE, stream.read_u16()).await.unwrap().ok()?;
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer).await.ok()?;
    Some(answer)
}

fn is(got: u64, want: u64) -> Result<(), u64> {
    if got == want { Ok(()) } else { Err(got) }
}

/// Whether the other end closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    // Closed or reset, both are an end.
    timeout(PATIENCE, stream.read_u8()).await.unwrap().is_err()
}

#[tokio::test]
async fn both_protocols_answer_and_stop() {
    let running = serve(Settings::default(), Limits::default(), None);
    for n in 0..50_u16 {
        let mut request = asking("db.service.consul A", Some(1232));
        request[..2].copy_from_slice(&n.to_be_bytes());
        let answer = read(&over_udp(running.addr, &request).await);
        assert_eq!((answer.metadata.id, short(&answer).as_str()), (n, "NoError | A 10.0.0.2"));
    }
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    send(&mut stream, &asking("web.service.consul A", None)).await;
    assert_eq!(read(&receive(&mut stream).await.unwrap()).answers.len(), 100);
    assert_eq!((running.shared.counters.of(Event::Udp), running.shared.counters.of(Event::Tcp)), (50, 1));
    timeout(PATIENCE, running.server.stop()).await.unwrap();
    assert!(is_closed(&mut stream).await);
    assert!(TcpStream::connect(running.addr).await.is_err());
    // The number is free again for both.
    Sockets::bind(running.addr, 1).unwrap();
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_asked() {
    for (any, asked_at) in [("0.0.0.0", &["127.0.0.1", "127.0.0.5"][..]), ("::", &["::1", "127.0.0.5"])] {
        let asked = Fleet::new().asked(Settings::default());
        let sockets = Sockets::bind((any.parse::<IpAddr>().unwrap(), 0).into(), 2).unwrap();
        let server = Server::start(sockets, &asked.shared, Limits::default(), None, GossipHandle::none()).unwrap();
        for ip in asked_at {
            // A connected socket takes nothing from any other address.
            let own: IpAddr = if ip.contains(':') { "::1" } else { "127.0.0.1" }.parse().unwrap();
            let socket = UdpSocket::bind((own, 0)).await.unwrap();
            socket.connect((ip.parse::<IpAddr>().unwrap(), server.addr().port())).await.unwrap();
            for _ in 0..20 {
                socket.send(&asking("consul NS", Some(1232))).await.unwrap();
                let mut answer = vec![0; 2048];
                let len = timeout(PATIENCE, socket.recv(&mut answer)).await.unwrap().unwrap();
                assert_eq!(short(&read(&answer[..len])), "NoError | NS here.node.dc1.consul.", "{any} {ip}");
            }
        }
        timeout(PATIENCE, server.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn many_questions_on_one_connection_are_answered_in_their_order() {
    let running = serve(Settings::default(), Limits::default(), None);
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let mut all = Vec::new();
    for n in 0..500_u16 {
        let mut request = asking(if n % 2 == 0 { "web.service.consul A" } else { "no.service.consul A" }, None);
        request[..2].copy_from_slice(&n.to_be_bytes());
        all.extend_from_slice(&u16::try_from(request.len()).unwrap().to_be_bytes());
        all.extend_from_slice(&request);
    }
    let (mut reader, mut writer) = stream.split();
    let writing = async { writer.write_all(&all).await.unwrap() };
    let reading = async {
        for n in 0..500_u16 {
            let len = reader.read_u16().await.unwrap();
            let mut answer = vec![0; usize::from(len)];
            reader.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer[..2], n.to_be_bytes());
        }
    };
    timeout(PATIENCE, async { tokio::join!(writing, reading) }).await.unwrap();
}

#[tokio::test]
async fn a_question_may_come_in_pieces() {
    let running = serve(Settings::default(), Limits::default(), None);
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = asking("db.service.consul A", None);
    for byte in u16::try_from(request.len()).unwrap().to_be_bytes().iter().chain(&request) {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(short(&read(&receive(&mut stream).await.unwrap())), "NoError | A 10.0.0.2");
}

#[tokio::test]
async fn whoever_asks_nothing_is_closed_and_so_is_who_talks_nonsense() {
    let running = serve(Settings::default(), Limits { idle: Duration::from_millis(100), ..Limits::default() }, None);
    let mut silent = TcpStream::connect(running.addr).await.unwrap();
    assert!(is_closed(&mut silent).await);
    let mut slow = TcpStream::connect(running.addr).await.unwrap();
    slow.write_all(&[0, 40, 1]).await.unwrap();
    assert!(is_closed(&mut slow).await);
    let running = serve(Settings::default(), Limits { idle: NEVER, ..Limits::default() }, None);
    let mut nonsense = TcpStream::connect(running.addr).await.unwrap();
    send(&mut nonsense, &[0; 5]).await;
    assert!(is_closed(&mut nonsense).await);
}

#[tokio::test]
async fn connections_have_bounds_and_give_their_places_back() {
    let all_stay = Limits { quiet: NEVER, idle: NEVER, ..Limits::default() };
    for limits in [Limits { connections: 3, ..all_stay }, Limits { per_network: 3, ..all_stay }] {
        let running = serve(Settings::default(), limits, None);
        let request = asking("db.service.consul A", None);
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(running.addr).await.unwrap();
            send(&mut stream, &request).await;
            receive(&mut stream).await.unwrap();
            open.push(stream);
        }
        assert_eq!(running.shared.counters.read().connections, 3);
        let mut fourth = TcpStream::connect(running.addr).await.unwrap();
        assert!(is_closed(&mut fourth).await);
        open.pop();
        let counters = running.shared.counters.clone();
        eventually_async(PATIENCE, || ready(is(counters.read().connections, 2))).await;
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        send(&mut stream, &request).await;
        assert!(receive(&mut stream).await.is_some());
        assert_eq!(counters.of(Event::ConnectionRefused), 1);
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_whoever_has_it() {
    let taken = Sockets::bind((Ipv4Addr::LOCALHOST, 0).into(), 2).unwrap();
    assert!(Sockets::bind(taken.addr(), 2).is_err(), "by one of us");
    let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert!(Sockets::bind(udp.local_addr().unwrap(), 2).is_err(), "UDP alone");
    let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert!(Sockets::bind(tcp.local_addr().unwrap(), 2).is_err(), "TCP alone");
}

#[tokio::test]
async fn nonsense_over_udp_is_counted_and_stops_nobody() {
    let running = serve(Settings::default(), Limits::default(), None);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for bytes in [&[][..], &[1, 2, 3], &[0xff; 12], &[0; 12], &[0; 4096]] {
        socket.send_to(bytes, running.addr).await.unwrap();
    }
    let counters = Arc::clone(&running.shared.counters);
    let malformed = || counters.read().malformed.iter().map(|(_, count)| count).sum::<u64>();
    eventually_async(PATIENCE, || ready(is(malformed(), 5))).await;
    assert_eq!(short(&read(&over_udp(running.addr, &asking("db.service.consul A", None)).await)), "NoError | A 10.0.0.2");
}

#[tokio::test]
async fn distances_are_those_that_gossip_measures() {
    let fleet = (2..=4).fold(Fleet::new(), |fleet, n| {
        fleet.node(n, &format!("n{n}"), |local| {
            local.set_instance(&instance("web", "web", "", 80)).unwrap();
        })
    });
    let asked = fleet.asked(Settings { near: true, ..Settings::default() });
    let (commands, mut asking_for) = mpsc::channel(1);
    let (_events, log) = watch::channel(EventLog::default());
    let east = Arc::new(Mutex::new([0.0, 0.09, 0.03, 0.05]));
    let told = east.clone();
    tokio::spawn(async move {
        while let Some(command) = asking_for.recv().await {
            let members =
                (1..=4).zip(*told.lock().unwrap()).map(|(n, east)| member(n, Ipv4Addr::LOCALHOST.into(), east)).collect();
            if let GossipCommand::View(answer) = command {
                let _ = answer.send(Ok(View { members, numbers: Vec::new() }));
            }
        }
    });
    let sockets = Sockets::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
    let gossip = GossipHandle::new(commands, log);
    let server = Server::start(sockets, &asked.shared, Limits::default(), None, gossip).unwrap();
    for want in [["10.0.0.3", "10.0.0.4", "10.0.0.2"], ["10.0.0.2", "10.0.0.4", "10.0.0.3"]] {
        // Measured every two seconds; no answer is kept for more than five.
        eventually_async(PATIENCE, async || {
            let later = asked.clock.lock().unwrap().moment + Duration::from_secs(6);
            asked.clock.lock().unwrap().moment = later;
            let answer = read(&over_udp(server.addr(), &asking("web.service.consul A", None)).await);
            let order: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
            if order == want { Ok(()) } else { Err(order) }
        })
        .await;
        *east.lock().unwrap() = [0.0, 0.01, 0.08, 0.05];
    }
}
