//! Reports to the registry of an agent, which a small task stands for: what is held is there, and nothing else.

use lobby_core::port::registry::{Held, Holder, RegistryCommand, RegistryError, RegistryHandle};
use tokio::sync::mpsc;

use super::*;

type There = Arc<Mutex<BTreeMap<String, (Payload, Holder)>>>;

/// Does what the registry of the crate `lobby` does with holds: an id belongs to the newest of them, and ends with it.
fn registry() -> (RegistryHandle, There) {
    let there = There::default();
    let (commands, mut asked) = mpsc::channel(8);
    let all = there.clone();
    tokio::spawn(async move {
        while let Some(command) = asked.recv().await {
            match command {
                RegistryCommand::Hold(registration, answer) => {
                    let (held, holder) = Held::new();
                    let instance = registration.instance;
                    let told = Payload {
                        service: instance.service.as_str().into(),
                        id: instance.id.as_str().into(),
                        host: instance.address.clone(),
                        port: instance.port,
                        ..Payload::default()
                    };
                    all.lock().unwrap().insert(told.id.clone(), (told, holder));
                    let _ = answer.send(Ok(held));
                }
                RegistryCommand::Deregister(id, answer) => {
                    let gone = all.lock().unwrap().remove(id.as_str());
                    let _ = answer.send(gone.map(drop).ok_or(RegistryError::UnknownInstance(id.as_str().into())));
                }
                other => panic!("{other:?}"),
            }
        }
    });
    (RegistryHandle::new(commands, watch::channel(Arc::default()).1), there)
}

fn ids(there: &There) -> Vec<String> {
    there.lock().unwrap().keys().cloned().collect()
}

fn payload() -> Payload {
    Payload { name: String::new(), ..service("web", vec![]).payload }
}

#[tokio::test]
async fn up_holds_an_instance_and_down_takes_it_away() {
    let (registry, there) = registry();
    let report = Agent::report(registry);
    assert!(report.ping(&payload(), false).await);
    assert!(!report.ping(&payload(), true).await, "nothing is held");
    report.up(&payload()).await.unwrap();
    assert_eq!(there.lock().unwrap()["web_i"].0, payload());
    assert!(report.ping(&payload(), true).await);
    assert!(!report.ping(&Payload { port: 81, ..payload() }, true).await, "another is told");
    report.down(&payload()).await.unwrap();
    assert_eq!(ids(&there), [] as [&str; 0]);
    report.down(&payload()).await.unwrap();
}

#[tokio::test]
async fn what_somebody_else_takes_or_replaces_is_noticed_and_not_touched() {
    let (registry, there) = registry();
    let (ours, theirs) = (Agent::report(registry.clone()), Agent::report(registry));
    ours.up(&payload()).await.unwrap();
    theirs.up(&Payload { port: 81, ..payload() }).await.unwrap();
    assert!(!ours.ping(&payload(), true).await);
    ours.down(&payload()).await.unwrap();
    assert_eq!(there.lock().unwrap()["web_i"].0.port, 81);
    // Without having noticed before, too.
    ours.up(&payload()).await.unwrap();
    theirs.down(&Payload { port: 81, ..payload() }).await.unwrap();
    assert_eq!(there.lock().unwrap()["web_i"].0.port, 80);
    theirs.up(&Payload { port: 81, ..payload() }).await.unwrap();
    there.lock().unwrap().clear();
    assert!(!theirs.ping(&Payload { port: 81, ..payload() }, true).await);
}

#[tokio::test]
async fn dropping_it_ends_what_it_holds() {
    let (registry, there) = registry();
    let report = Agent::report(registry);
    report.up(&payload()).await.unwrap();
    report.up(&payload()).await.unwrap();
    let (_, holder) = there.lock().unwrap().remove("web_i").unwrap();
    drop(report);
    // The registry's side sees the end.
    tokio::time::timeout(Duration::from_secs(10), holder.dropped()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_stops_and_an_instance_that_cannot_be_are_errors() {
    let stopped = Agent::report(RegistryHandle::none());
    assert!(matches!(stopped.up(&payload()).await, Err(ReportError::Registry(RegistryError::Stopping))));
    let bad = Payload { host: "0.0.0.0".into(), ..payload() };
    assert!(matches!(stopped.up(&bad).await, Err(ReportError::Payload(_))));
}
