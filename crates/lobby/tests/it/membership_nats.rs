//! What a program is told about others is the same over a real nats-server: joins, leaves by goodbye and by silence.

use std::time::Duration;

use lobby::{Lobby, nats::Config};
use lobby_testkit::server::{Server, nats};

use crate::membership::Notes;

async fn start(server: &Server, name: &str, life: &str, notes: Option<&Notes>) -> Lobby {
    let config = Config { urls: vec![nats::url(server)], keep_alive: Duration::from_millis(300), ..Config::default() };
    let builder = Lobby::builder().name(name.parse().unwrap()).tags([("life", life)]).nats(config);
    let builder = builder.ttl(Duration::from_millis(900));
    match notes {
        Some(notes) => builder.membership(notes.clone()).start().await.unwrap(),
        None => builder.start().await.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_it_is_the_same() {
    let (server, notes) = (nats::start(""), Notes::default());
    let watcher = start(&server, "watcher", "0", Some(&notes)).await;
    let a = start(&server, "a", "1", None).await;
    notes.read(&["join a life=1"]).await;
    a.leave().await;
    notes.read(&["join a life=1", "leave a life=1"]).await;
    let b = start(&server, "b", "1", None).await;
    notes.read(&["join a life=1", "leave a life=1", "join b life=1"]).await;
    // Without a goodbye: silence.
    drop(b);
    notes.read(&["join a life=1", "leave a life=1", "join b life=1", "leave b life=1"]).await;
    watcher.leave().await;
}
