//! Deadlines over an in-memory pipe with a paused clock.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::sleep,
};

use super::*;

fn pipe() -> (DuplexStream, Guard<DuplexStream>, Turns) {
    let (client, server) = duplex(64);
    let turns = Turns::default();
    (client, Guard::new(server, Limits::default(), turns.clone()), turns)
}

/// The whole seconds until a read fails.
async fn reads_until_late(guard: &mut Guard<DuplexStream>) -> u64 {
    let started = Instant::now();
    while guard.read_u8().await.is_ok() {}
    started.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn nobody_says_anything() {
    let (_client, mut guard, _turns) = pipe();
    assert_eq!((reads_until_late(&mut guard).await, guard.missed()), (75, Some(Missed::Idle)));
}

#[tokio::test(start_paused = true)]
async fn a_head_in_drops_gets_no_more_time() {
    let (mut client, mut guard, _turns) = pipe();
    tokio::spawn(async move {
        while client.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(3)).await;
        }
    });
    assert_eq!((reads_until_late(&mut guard).await, guard.missed()), (10, Some(Missed::Head)));
}

#[tokio::test(start_paused = true)]
async fn each_request_gets_its_own_time() {
    let (mut client, mut guard, turns) = pipe();
    client.write_all(b"a").await.unwrap();
    guard.read_u8().await.unwrap();
    turns.step();
    // While it is handled the guard waits for as long as it takes.
    assert!(tokio::time::timeout(Duration::from_secs(1000), guard.read_u8()).await.is_err());
    guard.write_all(b"b").await.unwrap();
    turns.step();
    assert_eq!((reads_until_late(&mut guard).await, guard.missed()), (75, Some(Missed::Idle)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_fine_and_a_stopped_one_is_not() {
    let (mut client, mut guard, _turns) = pipe();
    let reader = tokio::spawn(async move {
        for _ in 0..10 {
            sleep(Duration::from_secs(29)).await;
            client.read_exact(&mut [0; 64]).await.unwrap();
        }
        client
    });
    let started = Instant::now();
    guard.write_all(&[0; 64 * 11]).await.unwrap();
    let _client = reader.await.unwrap();
    assert!(started.elapsed() > Duration::from_secs(280));
    let started = Instant::now();
    guard.write_all(&[0; 65]).await.unwrap_err();
    assert_eq!((started.elapsed().as_secs(), guard.missed()), (30, Some(Missed::Write)));
}
