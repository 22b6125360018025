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
    (client, Guard::new(server, &Limits::default(), turns.clone()), turns)
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

/// Takes what is written into a buffer of its own and never gets rid of it, as TLS does with a client that reads nothing.
struct Hoard;

impl AsyncRead for Hoard {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Hoard {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_below_us_has_a_deadline_too() {
    let mut guard = Guard::new(Hoard, &Limits::default(), Turns::default());
    guard.write_all(b"x").await.unwrap();
    let started = Instant::now();
    assert!(guard.flush().await.is_err());
    assert_eq!((started.elapsed().as_secs(), guard.missed()), (30, Some(Missed::Write)));
}
