//! Names of others: who is asked, what counts as an answer, what is kept.

use std::{
    future::ready,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record},
};
use lobby_dns::{Event, Limits, Resolvers, Settings};
use lobby_testkit::{eventually_async, expect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
};

use crate::{
    fleet::{asking, read, short},
    sockets::{PATIENCE, over_udp, receive, send, serve},
};

/// Somebody else's server, and how often it was asked.
struct Other {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    questions: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// How the other server answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// One address, to be kept for this long.
    Well(u32),
    /// That it cannot say.
    Ill,
    /// First with a wrong id, then to another question, then well.
    Forged,
    /// As many as do not fit into a datagram.
    Much,
    /// As many as a stream takes, about.
    Huge,
    /// Broken off within a record.
    Broken,
    /// One address, and it is authentic.
    Authentic,
    /// Not at all.
    Silent,
}

fn answer(bytes: &[u8], manner: Manner, stream: bool) -> Vec<u8> {
    let mut message = Message::from_vec(bytes).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    let name: Name = message.queries[0].name().clone();
    let n_answers = match manner {
        Manner::Much => 200,
        Manner::Huge => 1500_u16,
        _ => 1,
    };
    message.metadata.authentic_data = manner == Manner::Authentic;
    let ttl = match manner {
        Manner::Well(ttl) => ttl,
        Manner::Authentic => 60,
        _ => 0,
    };
    match manner {
        Manner::Ill => message.metadata.response_code = ResponseCode::ServFail,
        Manner::Much | Manner::Huge if !stream => message.metadata.truncation = true,
        _ => {
            for n in 0..n_answers {
                message.add_answer(Record::from_rdata(
                    name.clone(),
                    ttl,
                    RData::A(Ipv4Addr::from([192, 0, 2 + n.to_be_bytes()[0], n.to_be_bytes()[1]]).into()),
                ));
            }
        }
    }
    let mut bytes = message.to_vec().unwrap();
    if manner == Manner::Broken {
        bytes.truncate(bytes.len() - 3);
    }
    bytes
}

async fn other(manner: Manner) -> Other {
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // Another test may have that number already.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (tcp, udp);
        }
    };
    let addr = udp.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let (seen, questions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = vec![0; 4096];
        loop {
            let (len, from) = udp.recv_from(&mut bytes).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            // Most tests do not look.
            let _ = seen.send(bytes[..len].to_vec());
            if manner == Manner::Silent {
                continue;
            }
            let good = answer(&bytes[..len], manner, false);
            if manner == Manner::Forged {
                let mut forged = good.clone();
                forged[0] ^= 1;
                udp.send_to(&forged, from).await.unwrap();
                let mut forged = good.clone();
                forged[13] ^= 1;
                udp.send_to(&forged, from).await.unwrap();
                udp.send_to(&good[..7], from).await.unwrap();
            }
            udp.send_to(&good, from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut bytes).await.unwrap();
            let good = answer(&bytes, manner, true);
            stream.write_u16(u16::try_from(good.len()).unwrap()).await.unwrap();
            stream.write_all(&good).await.unwrap();
        }
    });
    Other { addr, asked, questions }
}

fn forwards() -> Settings {
    Settings { forwards: true, ..Settings::default() }
}

#[tokio::test]
async fn names_of_others_are_asked_for_once_and_ours_never() {
    let other = other(Manner::Well(60)).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    for question in ["example.com A", "EXAMPLE.com A", "example.com A"] {
        let answer = read(&over_udp(running.addr, &asking(question, Some(1232))).await);
        assert_eq!(short(&answer), "NoError not ours | A 192.0.2.0", "{question}");
        assert!(answer.metadata.recursion_available);
        assert_eq!(answer.queries[0].name().to_ascii(), format!("{}.", question.strip_suffix(" A").unwrap()));
    }
    assert_eq!(other.asked.load(Ordering::SeqCst), 1);
    assert_eq!(running.shared.counters.of(Event::ForwardHit), 2);
    let answer = read(&over_udp(running.addr, &asking("db.service.consul A", None)).await);
    assert_eq!(short(&answer), "NoError | A 10.0.0.2");
    let answer = read(&over_udp(running.addr, &asking("no.service.consul A", None)).await);
    assert_eq!(short(&answer), "NXDomain | [SOA consul.]");
    // An address of ours backwards is ours, another one is not.
    let answer = read(&over_udp(running.addr, &asking("2.0.0.10.in-addr.arpa PTR", None)).await);
    assert_eq!(short(&answer), "NoError | PTR n2.node.dc1.lobby.");
    over_udp(running.addr, &asking("9.9.9.9.in-addr.arpa PTR", None)).await;
    assert_eq!(other.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn edns_goes_no_further_than_to_us_and_from_us() {
    let mut other = other(Manner::Well(60)).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    let mut cookie = asking("example.com A", Some(4096));
    let len = cookie.len();
    cookie[len - 1] = 12;
    cookie.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    for request in [cookie, asking("example.com A", Some(512)), asking("example.com A", None)] {
        let answer = read(&over_udp(running.addr, &request).await);
        assert_eq!(answer.answers.len(), 1);
        let wants = read(&request).edns.is_some();
        // The size is ours, and nobody's cookie is told to anybody.
        let edns = answer.edns.as_ref().map(|edns| (edns.max_payload(), edns.options().as_ref().len()));
        assert_eq!(edns, wants.then_some((1232, 0)));
    }
    let seen = read(&other.questions.recv().await.unwrap());
    let edns = seen.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.options().as_ref().len(), seen.metadata.recursion_desired), (1232, 0, true));
    assert!(other.questions.try_recv().is_err(), "asked for once");
}

#[tokio::test]
async fn who_checks_by_itself_is_told_so_and_that_we_recurse() {
    let other = other(Manner::Well(60)).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    for (question, wish) in [("example.com A", 1), ("db.service.consul A", 1), ("no.service.consul A", 0), ("example.com A", 0)] {
        let mut request = asking(question, None);
        (request[2], request[3]) = (wish, 0x10);
        let answer = read(&over_udp(running.addr, &request).await);
        assert!(answer.metadata.checking_disabled && answer.metadata.recursion_available, "{question} {wish}");
    }
}

#[tokio::test]
async fn whether_data_are_authentic_is_told_to_those_who_asked() {
    let mut other = other(Manner::Authentic).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    let mut request = asking("example.com A", None);
    // The second answer is from the cache.
    for (wish, want) in [(0, false), (0x20, true), (0, false)] {
        request[3] = wish;
        assert_eq!(read(&over_udp(running.addr, &request).await).metadata.authentic_data, want, "{wish}");
    }
    assert!(read(&other.questions.recv().await.unwrap()).metadata.authentic_data, "we want to know");
}

#[tokio::test]
async fn broken_answers_do_not_count() {
    let (broken, well) = (other(Manner::Broken).await, other(Manner::Well(60)).await);
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![broken.addr, well.addr])));
    let answer = read(&over_udp(running.addr, &asking("example.com A", Some(1232))).await);
    assert_eq!(short(&answer), "NoError not ours | A 192.0.2.0");
    assert_eq!(broken.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_reads_nothing_has_only_so_many_questions_under_way() {
    let other = other(Manner::Huge).await;
    let ask_all = async |write| {
        let limits = Limits { write, ..Limits::default() };
        let running = serve(forwards(), limits, Some(Resolvers(vec![other.addr])));
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        for n in 0..400 {
            send(&mut stream, &asking(&format!("x{n}.example.com A"), None)).await;
        }
        (running, stream)
    };
    let (running, _silent) = ask_all(Duration::from_secs(2)).await;
    // It is cut off when nothing more goes through: by then everything was asked that is asked at all.
    let counters = running.shared.counters.clone();
    eventually_async(PATIENCE, || {
        let (accepted, open) = (counters.of(Event::Connected), counters.read().connections);
        ready(expect((accepted, open) == (1, 0), (accepted, open)))
    })
    .await;
    // Two buffers of the system and the few that wait, with 64 KiB each.
    let asked = other.asked.load(Ordering::SeqCst);
    assert!((8..300).contains(&asked), "{asked}");
    // Whoever reads gets all of them.
    let (_running, mut stream) = ask_all(PATIENCE).await;
    for _ in 0..400 {
        assert!(receive(&mut stream).await.is_some());
    }
}

#[tokio::test]
async fn who_does_not_want_recursion_gets_none() {
    let other = other(Manner::Well(60)).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    let mut request = asking("example.com A", None);
    request[2] = 0;
    assert_eq!(short(&read(&over_udp(running.addr, &request).await)), "Refused not ours");
    assert_eq!(other.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_says_that_it_must_not_be_kept_is_not() {
    let other = other(Manner::Well(0)).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    for _ in 0..3 {
        over_udp(running.addr, &asking("example.com A", None)).await;
    }
    assert_eq!(other.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn forged_answers_do_not_count() {
    let other = other(Manner::Forged).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    let answer = read(&over_udp(running.addr, &asking("example.com A", None)).await);
    assert_eq!(short(&answer), "NoError not ours | A 192.0.2.0");
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_cannot_say_or_is_not_there() {
    let nobody = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (ill, well) = (other(Manner::Ill).await, other(Manner::Well(60)).await);
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![nobody, ill.addr, well.addr])));
    let answer = read(&over_udp(running.addr, &asking("example.com A", None)).await);
    assert_eq!(short(&answer), "NoError not ours | A 192.0.2.0");
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![nobody])));
    let answer = read(&over_udp(running.addr, &asking("example.com A", Some(1232))).await);
    assert_eq!(short(&answer), "ServFail not ours");
    assert_eq!(running.shared.counters.of(Event::ForwardFailed), 1);
}

/// In real time: with a paused clock the time of the next server would pass before its datagram is read.
#[tokio::test]
async fn the_next_server_is_asked_when_one_says_nothing_in_time() {
    let (silent, well) = (other(Manner::Silent).await, other(Manner::Well(60)).await);
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![silent.addr, well.addr])));
    let answer = read(&over_udp(running.addr, &asking("example.com A", Some(1232))).await);
    assert_eq!(short(&answer), "NoError not ours | A 192.0.2.0");
    let asked = [&silent, &well].map(|other| other.asked.load(Ordering::SeqCst));
    assert_eq!((asked, running.shared.counters.of(Event::ForwardFailed)), ([1, 1], 0));
}

#[tokio::test]
async fn large_answers_of_others_come_over_tcp() {
    let other = other(Manner::Much).await;
    let running = serve(forwards(), Limits::default(), Some(Resolvers(vec![other.addr])));
    let request = asking("example.com A", Some(1232));
    let answer = read(&over_udp(running.addr, &request).await);
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    send(&mut stream, &request).await;
    let answer = read(&receive(&mut stream).await.unwrap());
    assert_eq!((answer.answers.len(), answer.metadata.truncation), (200, false));
}
