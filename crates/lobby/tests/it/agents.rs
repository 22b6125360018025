//! What an embedder sees: agents find each other, labels are acknowledged when visible, goodbyes and deaths differ.

use std::{sync::Arc, time::Duration};

use lobby::{
    AgentError, LabelsConfig, Lobby,
    core::{catalog::NodeState, label::Label, port::CatalogReader},
    memory::Hub,
};
use tokio::time::timeout;

async fn start(hub: &Hub, name: &str, labels: &[&str]) -> Lobby {
    let labels: Vec<Label> = labels.iter().map(|label| label.parse().unwrap()).collect();
    let builder = Lobby::builder().name(name.parse().unwrap()).labels(labels).memory(hub.join());
    builder.start().await.unwrap()
}

/// Waits until the hosts are these, each with its labels.
async fn shows(reader: &CatalogReader, want: &str) {
    let mut reader = reader.clone();
    let hosts = |reader: &CatalogReader| {
        let snapshot = reader.snapshot();
        let host = |host: &Arc<lobby::core::catalog::Host>| {
            let labels: Vec<_> = host.labels.iter().map(Label::as_str).collect();
            format!("{}[{}]", host.name, labels.join(","))
        };
        snapshot.hosts.values().map(host).collect::<Vec<_>>().join(" ")
    };
    let wait = async {
        while hosts(&reader) != want {
            reader.changed().await.unwrap();
        }
    };
    if timeout(Duration::from_secs(10), wait).await.is_err() {
        panic!("wanted {want}, got {}", hosts(&reader));
    }
}

#[tokio::test]
async fn agents_find_each_other_and_say_goodbye() {
    let hub = Hub::new();
    let a = start(&hub, "a", &["x:1"]).await;
    let b = start(&hub, "b", &[]).await;
    shows(&a.reader(), "a[x:1] b[]").await;
    shows(&b.reader(), "a[x:1] b[]").await;
    b.leave().await;
    shows(&a.reader(), "a[x:1]").await;
    assert_eq!(a.reader().snapshot().nodes.len(), 1, "who left is not even remembered as failed");
}

#[tokio::test]
async fn an_agent_that_dies_is_failed_not_left() {
    let hub = Hub::new();
    let a = start(&hub, "a", &[]).await;
    let b = start(&hub, "b", &[]).await;
    let id = b.id();
    shows(&a.reader(), "a[] b[]").await;
    drop(b);
    shows(&a.reader(), "a[]").await;
    assert_eq!(a.reader().snapshot().node(id).unwrap().state, NodeState::Failed);
}

#[tokio::test]
async fn an_acknowledged_write_is_visible_and_two_never_share_a_snapshot() {
    let hub = Hub::new();
    let a = start(&hub, "a", &[]).await;
    let (reader, commands) = (a.reader(), a.commands());
    let mut revisions = vec![reader.snapshot().revision];
    for n in 0..20 {
        let label: Label = format!("n:{n}").parse().unwrap();
        commands.add_labels(vec![label.clone()]).await.unwrap();
        let snapshot = reader.snapshot();
        assert!(snapshot.local.record.labels().any(|known| *known == label));
        revisions.push(snapshot.revision);
    }
    assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "{revisions:?}");
    commands.add_labels(vec!["n:7".parse().unwrap()]).await.unwrap();
    assert_eq!(reader.snapshot().revision, *revisions.last().unwrap(), "nothing new is no change");
}

#[tokio::test]
async fn two_nodes_of_one_name_are_one_host_and_both_are_shown() {
    let hub = Hub::new();
    let watcher = start(&hub, "watcher", &[]).await;
    let one = start(&hub, "same", &["one:1"]).await;
    let two = start(&hub, "same", &["two:1"]).await;
    shows(&watcher.reader(), "same[one:1,two:1] watcher[]").await;
    assert_eq!(watcher.reader().snapshot().nodes.len(), 3);
    one.leave().await;
    shows(&watcher.reader(), "same[two:1] watcher[]").await;
    drop(two);
}

#[tokio::test]
async fn an_unlisted_agent_sees_and_is_not_seen() {
    let hub = Hub::new();
    let a = start(&hub, "a", &[]).await;
    let silent = Lobby::builder().name("silent".parse().unwrap()).listed(false).memory(hub.join()).start().await.unwrap();
    shows(&silent.reader(), "a[]").await;
    shows(&a.reader(), "a[]").await;
    assert_eq!(silent.reader().snapshot().local.record.name.as_str(), "silent");
}

#[tokio::test]
async fn without_an_exchange_an_agent_is_warm_and_alone() {
    let alone = Lobby::builder().name("alone".parse().unwrap()).start().await.unwrap();
    let snapshot = alone.reader().snapshot();
    assert!(snapshot.warm && snapshot.hosts.len() == 1);
    alone.leave().await;
}

#[tokio::test]
async fn a_leave_command_ends_the_agent() {
    let mut agent = Lobby::builder().name("a".parse().unwrap()).start().await.unwrap();
    agent.commands().leave().await.unwrap();
    timeout(Duration::from_secs(5), agent.ended()).await.unwrap().unwrap();
    let commands = agent.commands();
    agent.leave().await;
    assert!(commands.add_labels(vec!["x".parse().unwrap()]).await.is_err());
}

#[tokio::test]
async fn a_dropped_agent_leaves_no_task_behind() {
    let hub = Hub::new();
    let a = start(&hub, "a", &[]).await;
    let (mut reader, commands) = (a.reader(), a.commands());
    drop(a);
    let ended = async { while reader.changed().await.is_ok() {} };
    timeout(Duration::from_secs(10), ended).await.expect("the node task ends");
    assert!(commands.add_labels(vec!["x".parse().unwrap()]).await.is_err(), "the label task too");
}

#[tokio::test]
async fn an_agent_one_of_whose_tasks_panics_says_so() {
    let read_fixed = Arc::new(|| panic!("a defect of the embedder"));
    let labels = LabelsConfig { read_fixed: Some(read_fixed), ..LabelsConfig::default() };
    let mut agent = Lobby::builder().name("a".parse().unwrap()).label_sources(labels).start().await.unwrap();
    assert!(agent.commands().reload().await.is_err());
    let ended = timeout(Duration::from_secs(5), agent.ended()).await.unwrap();
    assert!(matches!(ended, Err(AgentError::TaskEnded("labels"))), "{ended:?}");
    agent.leave().await;
}

#[cfg(feature = "gossip")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_over_gossip_is_always_said() {
    use lobby::gossip;

    let gossip = |join| gossip::Config {
        bind: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        join,
        keys: Vec::new(),
        cluster: "lobby".into(),
        profile: gossip::Profile::Fast,
        beacon: None,
        folder: None,
    };
    let start = async |name: &str, join| Lobby::builder().name(name.parse().unwrap()).gossip(gossip(join)).start().await.unwrap();
    let a = start("a", Vec::new()).await;
    let address = a.exchanges()[0].address.unwrap().to_string();
    for _ in 0..4 {
        let b = start("b", vec![address.clone()]).await;
        shows(&a.reader(), "a[] b[]").await;
        b.leave().await;
        shows(&a.reader(), "a[]").await;
        assert_eq!(a.reader().snapshot().nodes.len(), 1, "who left is not even remembered as failed");
    }
    a.leave().await;
}
