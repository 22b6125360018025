//! Turns and places of connections. Turns are counted in steps of the thread that answers, which goes on only when the test
//! says so; nothing depends on time.
//!
//! Not here: whole connections (`tests/it/sockets`), the rate of a network over real networks (lobbyd's `dns/rate`).

use std::{future::ready, net::Ipv4Addr, sync::mpsc as steps, thread};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::RecordType,
};
use lobby_core::{
    catalog::{Catalog, Snapshot},
    id::{Generation, NodeId, Revision},
    local::LocalRecord,
    port::CatalogReader,
    time::{Moment, Now, WallSecond},
};
use lobby_testkit::{eventually_async, expect};

use super::*;
use crate::{name, settings::Settings};

const PATIENCE: Duration = Duration::from_secs(20);

const NOW: Now = Now { moment: Moment::from_micros(100_000_000), wall: WallSecond(1_700_000_000) };

/// What answers depend on. The thread that answers stops at each question until it is sent a step; once nobody can send any,
/// it goes on.
fn stepped() -> (Shared, steps::Sender<()>, watch::Sender<Arc<Snapshot>>) {
    let (step, stepping) = steps::channel();
    let (stepping, here) = (Mutex::new(stepping), thread::current().id());
    let clock = move || {
        // Connections read the same clock, on the thread of the test.
        if thread::current().id() != here {
            let _ = stepping.lock().unwrap().recv();
        }
        NOW
    };
    let own = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "here".parse().unwrap());
    let mut catalog = Catalog::new(Revision(100), [], own.record().clone(), true, Duration::from_secs(60), NOW);
    let (snapshots, receiver) = watch::channel(catalog.poll_snapshot().unwrap());
    let shared = Shared {
        settings: Arc::new(Settings::default()),
        reader: CatalogReader::new(receiver),
        clock: Arc::new(clock),
        counters: Arc::default(),
        distances: Arc::default(),
    };
    (shared, step, snapshots)
}

/// A question as it travels.
fn asking(name: &str, id: u16) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name::parse(name).unwrap(), RecordType::A));
    let mut framed = Vec::new();
    frame(&message.to_vec().unwrap(), &mut framed);
    framed
}

/// The id of the next answer.
async fn answered(stream: &mut TcpStream) -> u16 {
    let answer = async {
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        u16::from_be_bytes([answer[0], answer[1]])
    };
    timeout(PATIENCE, answer).await.expect("it is answered when it is its turn")
}

#[tokio::test]
async fn each_connection_has_its_turn_however_many_questions_others_have() {
    const FLOODS: usize = 16;
    // More than could wait for the thread if one connection were allowed to have them there.
    const QUESTIONS: usize = 2 * WAITING;
    let (shared, step, _snapshots) = stepped();
    let counters = shared.counters.clone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let jobs = answering(shared.clone()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    // Nobody is closed, however long the test is kept from going on.
    let limits = Limits { idle: Duration::from_secs(3600), ..Limits::default() };
    tokio::spawn(accept(listener, jobs.clone(), shared, limits, None, stopped));
    let mut patient = TcpStream::connect(addr).await.unwrap();
    let mut floods = Vec::new();
    for connection in 0..FLOODS {
        let mut flood = TcpStream::connect(addr).await.unwrap();
        let all: Vec<_> = (0..QUESTIONS).flat_map(|n| asking(&format!("x{n}.y{connection}.label.consul"), 0)).collect();
        flood.write_all(&all).await.unwrap();
        floods.push(flood);
    }
    let mut steps = 0;
    for id in 1..=3 {
        patient.write_all(&asking("here.node.consul", id)).await.unwrap();
        // One question of each of the others is before it, and no second one.
        for _ in 0..=FLOODS {
            // One is being answered, and one of each other connection waits: nobody who is slow gives way.
            eventually_async(PATIENCE, || {
                let (waiting, begun) = (WAITING - jobs.capacity(), counters.of(Event::Tcp));
                ready(expect(waiting >= FLOODS && begun == steps + 1, (waiting, begun, steps)))
            })
            .await;
            step.send(()).unwrap();
            steps += 1;
        }
        assert_eq!(answered(&mut patient).await, id);
    }
}

fn limits() -> Limits {
    Limits { connections: 4, per_network: 2, quiet: Duration::from_secs(1), ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn a_network_has_so_many_places_and_programs_of_our_own_machine_are_none() {
    let mut places = Places::default();
    let mut take = |client: &str| places.take(client.parse().unwrap(), &limits()).is_some();
    assert!(take("2001:db8:0:1::1") && take("2001:db8:0:1:2::2") && !take("2001:db8:0:1:3::3"));
    assert!(take("192.0.2.1") && take("192.0.2.255"));
    let mut places = Places::default();
    let mut take = |client: &str| places.take(client.parse().unwrap(), &limits()).is_some();
    assert!(take("127.0.0.1") && take("::ffff:127.0.0.1") && !take("127.0.0.1") && take("127.0.0.2"));
}

#[tokio::test(start_paused = true)]
async fn who_asked_nothing_for_the_longest_time_makes_room() {
    let mut places = Places::default();
    let mut closed = Vec::new();
    for n in 0..4 {
        closed.push(places.take([192, 0, n, 1].into(), &limits()).unwrap().1);
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(places.take([192, 0, 4, 1].into(), &limits()).is_none(), "all of them asked something just now");
    tokio::time::advance(Duration::from_millis(600)).await;
    places.open.get_mut(&1).unwrap().since = Instant::now();
    assert!(places.take([192, 0, 4, 1].into(), &limits()).is_none());
    tokio::time::advance(Duration::from_millis(100)).await;
    let (id, _fifth) = places.take([192, 0, 4, 1].into(), &limits()).unwrap();
    let is_closed: Vec<_> =
        closed.iter_mut().map(|closed| closed.try_recv() == Err(oneshot::error::TryRecvError::Closed)).collect();
    assert_eq!((id, places.open.len(), is_closed), (5, 4, vec![false, true, false, false]));
}
