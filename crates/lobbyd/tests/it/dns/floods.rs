//! Floods of made-up names over both protocols: HTTP and the questions of others are answered meanwhile.
//!
//! Not here: that each connection has its turn and what is kept is not driven out, which are counted in `lobby-dns`; rates
//! (`rate`).

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use super::{dns, served, short};

/// Names that nobody has, in each form whose look-up was dear once.
pub(super) fn made_up(n: u16) -> Vec<u8> {
    let mut name: Vec<String> = match n % 3 {
        0 => vec![format!("x{n}"), "y".into(), "label".into(), "consul".into()],
        1 => vec![format!("x{n}"), "node".into(), "consul".into()],
        _ => vec![(n % 256).to_string(), (n / 256).to_string(), "9".into(), "10".into(), "in-addr".into(), "arpa".into()],
    };
    name.push(String::new());
    let mut bytes = vec![n.to_be_bytes()[0], n.to_be_bytes()[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 1, 0, 1]);
    bytes
}

fn flood_udp(at: SocketAddr, ends: &AtomicBool) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut answered = 0;
    for n in (0..u16::MAX).step_by(16).cycle() {
        if ends.load(Relaxed) {
            break;
        }
        // As many as its buffer holds in any case: others must not be lost before we see them.
        (n..n.saturating_add(16)).for_each(|n| _ = socket.send_to(&made_up(n), at).unwrap());
        answered += (0..16).filter(|_| socket.recv(&mut [0; 2048]).is_ok()).count();
    }
    answered
}

fn flood_tcp(at: SocketAddr, ends: &AtomicBool) -> usize {
    let mut stream = TcpStream::connect(at).unwrap();
    let mut answered = 0;
    for n in (0..u16::MAX).step_by(64).cycle() {
        if ends.load(Relaxed) {
            break;
        }
        let frame = |n| {
            let bytes = made_up(n);
            [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes[..]].concat()
        };
        stream.write_all(&(n..n.saturating_add(64)).flat_map(frame).collect::<Vec<_>>()).unwrap();
        for _ in n..n.saturating_add(64) {
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            stream.read_exact(&mut vec![0; usize::from(u16::from_be_bytes(len))]).unwrap();
            answered += 1;
        }
    }
    answered
}

#[test]
fn a_flood_of_made_up_names_stops_neither_http_nor_others() {
    let agent = served();
    let at = dns(&agent);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..20)
            .map(|n| {
                let ends = &ends;
                scope.spawn(move || if n < 16 { flood_tcp(at, ends) } else { flood_udp(at, ends) })
            })
            .collect();
        let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                // Each has some seconds before it counts as lost; dig asks once.
                assert_eq!(agent.get("/v1/status/leader").status, 200);
                for transport in ["+notcp", "+tcp"] {
                    let question = format!("{transport} +tries=1 +time=3 n1.node.dc1.consul A");
                    assert_eq!(short(at, &question), ["127.0.0.1"], "{transport}");
                }
            }
        }));
        ends.store(true, Relaxed);
        let answered: Vec<_> = floods.into_iter().map(|flood| flood.join().unwrap()).collect();
        assert!(served.is_ok());
        assert!(answered.iter().all(|answered| *answered > 100), "it was no flood: {answered:?}");
    });
}
